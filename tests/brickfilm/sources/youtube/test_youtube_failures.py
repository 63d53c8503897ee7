"""Failures of yt-dlp. Its messages are looked up in its source, so that a change is noticed."""

from __future__ import annotations

import errno
import re
from datetime import date
from pathlib import Path

import pytest
import yt_dlp
from yt_dlp.utils import DownloadError, ExtractorError, GeoRestrictedError

from brickfilm.engine.pipeline import Pipeline
from brickfilm.errors import Failed, ItemError, Rejected, UsageError, Waiting
from brickfilm.sources import Connection, RateLimits, YouTubeSource
from brickfilm.sources.youtube import ytdlp, ytdlp_errors
from brickfilm.sources.youtube.failures import FAILURE_RULES, YtdlpFailure, item_error_for
from brickfilm.sources.youtube.throttle import BlockedBySite, TooManyRequests
from tests.kit import ROOT
from tests.kit.footage import film_bytes
from tests.kit.servers.videos import video_site
from tests.kit.youtube import fetch, youtube_source

LIMIT = "This content isn't available, try again later"
NO_RUNTIME = "No supported JavaScript runtime could be found. Only deno is enabled by default"
SOURCE = Path(yt_dlp.__file__).parent


@pytest.mark.parametrize(
    ("message", "reason", "kind", "remedy"),
    [
        ("Sign in to confirm you’re not a bot.", "bot check", BlockedBySite, "cookies_browser"),
        ("Sign in to confirm your age", "age gate", Failed, "adult"),
        ("HTTP Error 429: Too Many Requests", "rate limit", TooManyRequests, "daily_cap"),
        (LIMIT, "rate limit", TooManyRequests, "between_videos"),
        ("Private video. Sign in if you've been granted access", "private", Rejected, "left out"),
        ("This video has been removed by the uploader", "removed", Rejected, "not exist any more"),
        ("Video unavailable", "removed", Rejected, "not exist any more"),
        ("Join this channel to get access to members-only", "members only", Rejected, "paying"),
        (
            "The uploader has not made this video available in your country",
            "geo block",
            Failed,
            "proxy",
        ),
        (
            "This video contains content from a company, who has blocked it in your country",
            "geo block",
            Failed,
            "proxy",
        ),
        (
            "unable to download video data: HTTP Error 404: Not Found",
            "media gone",
            Failed,
            "expire",
        ),
        ("An error occurred, please try again later", "not fetched", Failed, "next run"),
        ("This live event will begin in 3 hours", "live stream", Waiting, "once it has ended"),
        (
            f"Requested format is not available: {NO_RUNTIME}",
            "no JavaScript runtime",
            Failed,
            "brickfilm[youtube]",
        ),
        (f"Private video: {NO_RUNTIME}", "private", Rejected, "left out"),
        ("Requested format is not available", "format gone", Failed, "upgrade yt-dlp"),
        ("unable to download video data: HTTP Error 403: Forbidden", "forbidden", Failed, "403"),
        ("Something that nobody has seen yet", "not fetched", Failed, "next run"),
    ],
)
def test_a_failure_has_a_word_and_a_remedy(
    message: str, reason: str, kind: type[ItemError], remedy: str
) -> None:
    error = item_error_for(YtdlpFailure(text=f"ERROR: [youtube] abc: {message}"), "A film")
    assert (error.reason, type(error)) == (reason, kind)
    assert remedy in str(error)
    assert str(error).startswith("A film: [youtube] abc: ")


@pytest.mark.parametrize(
    ("phrase", "file"),
    [
        (LIMIT, "extractor/youtube/_video.py"),
        ("has been rate-limited by YouTube", "extractor/youtube/_video.py"),
        ("No supported JavaScript runtime could be found", "extractor/youtube/_video.py"),
        ("challenge solving failed", "extractor/youtube/_video.py"),
        ("requiring a captcha challenge", "extractor/youtube/_video.py"),
        ("confirm your age", "extractor/youtube/_video.py"),
        ("Requested format is not available", "YoutubeDL.py"),
        ("No video formats found", "YoutubeDL.py"),
        ("DRM protected", "YoutubeDL.py"),
    ],
)
def test_ytdlp_still_says_what_we_listen_for(phrase: str, file: str) -> None:
    assert phrase in (SOURCE / file).read_text(encoding="utf-8")


def test_every_word_is_told_from_the_others() -> None:
    assert len({rule.reason for rule in FAILURE_RULES}) == len(FAILURE_RULES)


def test_causes_are_considered() -> None:
    geo = GeoRestrictedError("not for you", countries=["SE"])
    error = DownloadError("ERROR: not for you", (type(geo), geo, None))
    assert (
        item_error_for(ytdlp_errors.failure_from_exception(error, []), "A film").reason
        == "geo block"
    )


def test_a_warning_about_the_runtime_explains_missing_formats() -> None:
    error = DownloadError("ERROR: Requested format is not available")
    assert (
        item_error_for(ytdlp_errors.failure_from_exception(error, [NO_RUNTIME]), "F").reason
        == "no JavaScript runtime"
    )


def test_a_warning_is_told_once_over_all_films(caplog: pytest.LogCaptureFixture) -> None:
    shown: set[str] = set()
    for _ in range(3):
        logger = ytdlp_errors.YtdlpLogger(shown)
        logger.warning(f"WARNING: {NO_RUNTIME}")
        assert logger.warnings  # used to explain each video's failure
    assert [r.levelname for r in caplog.records] == ["WARNING"]


def test_a_full_disk_is_no_fault_of_the_film() -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match="No space left"):
        ytdlp_errors.failure_from_exception(
            DownloadError("unable to write data", (OSError, full, None)), []
        )


def test_advice_for_the_command_line_of_ytdlp_is_left_out() -> None:
    message = (
        "Requested format is not available. Use --list-formats for a list of available formats"
    )
    error = item_error_for(
        ytdlp_errors.failure_from_exception(ExtractorError(message, expected=True), []), "A film"
    )
    assert "--list-formats" not in str(error)


def test_an_old_ytdlp_is_a_warning() -> None:
    assert ytdlp.staleness_warning("yt-dlp 2026.10.26", date(2026, 11, 22)) == ""
    assert (
        ytdlp.staleness_warning("yt-dlp 2026.08.19", date(2026, 10, 18)) == ""
    )  # 60 days to the day
    warning = ytdlp.staleness_warning("yt-dlp 2026.08.19", date(2026, 10, 19))
    assert "61 days old" in warning
    assert "pip install -U" in warning


@pytest.mark.parametrize(
    "connection",
    [
        Connection(cookies_file="no-cookies-at-all.bin"),
        Connection(cookies_browser="no-such-browser"),
    ],
)
def test_bad_cookies_stop_before_anybody_is_bothered(
    connection: Connection, tmp_path: Path
) -> None:
    if connection.cookies_file:
        bad = tmp_path / "cookies.txt"
        bad.write_bytes(b"\x00\x01 these are no cookies")
        connection = Connection(cookies_file=bad)
    source = YouTubeSource(["abc-EFG_123"], connection=connection)
    with pytest.raises(UsageError, match="the cookies cannot be read"):
        Pipeline.from_stages(source, ()).check()


def test_a_file_of_cookies_is_sent_and_left_as_it_is(tmp_path: Path) -> None:
    jar = tmp_path / "cookies.txt"
    jar.write_text("# Netscape HTTP Cookie File\n127.0.0.1\tFALSE\t/\tFALSE\t0\tname\tvalue\n")
    before = jar.read_bytes()
    with video_site() as site:
        source = youtube_source(
            [site.add("one", film_bytes())], connection=Connection(cookies_file=jar)
        )
        assert len(fetch(tmp_path / "w", source).finished) == 1
        assert set(site.cookies) == {"name=value"}
    assert jar.read_bytes() == before


def test_a_missing_file_of_cookies_is_named(tmp_path: Path) -> None:
    source = YouTubeSource(["@handle"], connection=Connection(cookies_file=tmp_path / "none.txt"))
    with pytest.raises(UsageError, match=r"none\.txt"):
        Pipeline.from_stages(source, ()).check()


def test_what_may_hold_a_password_is_never_shown() -> None:
    connection = Connection(
        proxy="http://me:secret@proxy", extractor_args={"youtube": {"token": ["x"]}}
    )
    assert not re.search(
        "secret|token", repr(YouTubeSource(["@handle"], connection=connection).stages())
    )


def test_settings_reach_ytdlp_in_its_words() -> None:
    options = ytdlp.ytdlp_options(
        Connection(
            cookies_browser="chrome:Profile 1",
            js_runtime="node:/opt/node",
            proxy="socks5://localhost:9",
            extractor_args={"youtube": {"player_client": ["mweb"]}},
        ),
        RateLimits(bytes_per_second=1e6, between_requests=2),
    )
    assert options["cookiesfrombrowser"] == ("chrome", "Profile 1", None, None)
    assert options["js_runtimes"] == {"node": {"path": "/opt/node"}}
    assert options["extractor_args"] == {"youtube": {"player_client": ["mweb"]}}
    assert (options["proxy"], options["ratelimit"]) == ("socks5://localhost:9", 1e6)
    assert options["sleep_interval_requests"] == 2
    with yt_dlp.YoutubeDL(options):  # raises an error for an unknown option
        pass


def test_the_page_explains_every_word() -> None:
    page = (ROOT / "docs/youtube.md").read_text(encoding="utf-8")
    table = page.partition("## Failures")[2].partition("##")[0]
    assert not [rule.reason for rule in FAILURE_RULES if rule.reason not in table]
