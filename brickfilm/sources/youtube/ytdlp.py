"""Call yt-dlp: list an address, extract a video's information, download it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any

from brickfilm.errors import Failed, UsageError
from brickfilm.records import Listing
from brickfilm.schema.public_text import (
    has_secret,
    public_url,
    public_value,
    strip_credentials,
    with_credentials,
)
from brickfilm.sources.youtube.addresses import video_id
from brickfilm.sources.youtube.failures import DOWNLOAD_YOURSELF, YtdlpFailure, cookies_error
from brickfilm.sources.youtube.formats import InfoDict
from brickfilm.sources.youtube.settings import Connection, RateLimits
from brickfilm.sources.youtube.ytdlp_errors import (
    YtdlpLogger,
    failure_from_exception,
    translate_errors,
)

log = logging.getLogger(__name__)

STALE_DAYS = 60
"""Age at which yt-dlp usually misses a change of YouTube's, which come every few weeks."""
BLOCK_BYTES = 64 << 10
"""The most that a kill or a broken connection loses; yt-dlp's own blocks grow to 4 MiB."""
NO_FFMPEG = "/no-ffmpeg"
"""No file: a program of its own would connect to addresses that `public_addresses` forbids."""
PROTOCOLS = (
    *("http", "https", "m3u8", "m3u8_native", "http_dash_segments"),
    *("http_dash_segments_generator", "f4m", "ism"),
)
"""What yt-dlp downloads by itself; other protocols need programs such as rtmpdump."""
MAX_LIST_DEPTH = 2
"""A channel's page of playlists is a list of lists; nothing useful is deeper."""
PLAN_FIELDS = (
    *("id", "title", "uploader", "channel", "upload_date", "license", "webpage_url", "extractor"),
    *("extractor_key", "duration", "live_status", "format_id", "ext", "vcodec", "acodec", "fps"),
    *("width", "height", "dynamic_range", "filesize", "url", "protocol", "http_headers"),
)
"""Fields of yt-dlp's information dictionary that a plan keeps, to resume the same file."""


@dataclass(frozen=True, kw_only=True)
class YtdlpSession:
    """A configured yt-dlp for one video or one list."""

    ydl: Any
    title: str
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    """ "user:password" by host."""

    def extract_info(self, url: str, entry_id: str = "") -> InfoDict:
        """Return a video's information with a format chosen, without downloading it.

        entry_id: the id of the video if the page holds several. Raises Failed if it is not unique.
        """
        info = self._extract(url)
        entries = _entries(info)
        if entries is None:
            return info
        chosen = [entry for entry in entries if not entry_id or entry.get("id") == entry_id]
        if len(chosen) != 1:
            raise Failed(
                f"{self.title}: its page now holds {len(entries)} videos, and not one with id "
                f"{entry_id!r}: list the page again with a new as_of=",
                reason="page changed",
            )
        return self._extract(chosen[0]["url"]) if _is_link(chosen[0]) else chosen[0]

    def select_format(self, info: InfoDict) -> InfoDict:
        """Choose a format for a video's extracted information."""
        with translate_errors(self.ydl, self.title):
            selected = self.ydl.process_ie_result(dict(info), download=False)
        return self.ydl.sanitize_info(selected)  # type: ignore[no-any-return]

    def download(self, info: InfoDict, draft: Path) -> None:
        """Download the chosen format to `draft`, resuming its `.part` file."""
        if (protocol := info.get("protocol", "https")) not in PROTOCOLS:
            raise Failed(
                f"{self.title}: it is offered by {protocol!r} alone: {DOWNLOAD_YOURSELF}",
                reason="other protocol",
            )
        self.ydl.params["outtmpl"]["default"] = str(draft).replace("%", "%%")
        private = dict(info)
        if "url" in info:
            private["url"] = with_credentials(info["url"], self.credentials)
        with translate_errors(self.ydl, self.title):
            self.ydl.process_info(private)
        if not draft.is_file():
            raise Failed(
                f"{self.title}: yt-dlp downloaded nothing and reported no error, try again"
            )

    def list_videos(self, url: str, depth: int = MAX_LIST_DEPTH) -> Iterator[dict[str, Any]]:
        """Yield the listing fields of every video behind an address, in its order."""
        info = self._extract(url)
        entries = _entries(info)
        if entries is None:
            yield _listing_fields(info, url, url)
            return
        for entry in entries:
            if _is_link(entry) and _is_list(entry):
                if depth > 1:
                    yield from self.list_videos(entry["url"], depth - 1)
            elif _is_link(entry):
                address = entry["url"].split("#__youtubedl_smuggle")[0]
                yield _listing_fields(entry, address, address)
            elif "?" not in (entry.get("url") or "?"):  # a plain file, embedded anywhere
                yield _listing_fields(entry, entry["url"], entry["url"])
            else:  # a video without a URL of its own
                yield _listing_fields(entry, f"{public_url(url)}#{entry['id']}", url)

    def _extract(self, url: str) -> dict[str, Any]:
        with translate_errors(self.ydl, self.title):
            private = with_credentials(url, self.credentials)
            info = self.ydl.extract_info(private, download=False)
        if not info:
            raise Failed(
                f"{self.title}: yt-dlp found nothing at {public_url(url)}", reason="no video found"
            )
        return self.ydl.sanitize_info(info)  # type: ignore[no-any-return]


@contextmanager
def open_session(
    listing: Listing,
    connection: Connection,
    rate_limits: RateLimits,
    *,
    progress_hook: Callable[[Mapping[str, Any]], None] | None = None,
    shown_warnings: set[str] | None = None,
    **extra_options: Any,
) -> Iterator[YtdlpSession]:
    """Open yt-dlp for one item.

    progress_hook: called as data arrive. shown_warnings: texts that were logged; added to.
    """
    import yt_dlp

    options = (
        ytdlp_options(connection, rate_limits)
        | {"progress_hooks": [progress_hook] if progress_hook else []}
        | extra_options
    )
    with yt_dlp.YoutubeDL(options | {"logger": YtdlpLogger(shown_warnings)}) as ydl:
        title = listing.title or public_url(listing.url)
        yield YtdlpSession(ydl=ydl, title=title, credentials=connection.credentials)


def check_connection(connection: Connection) -> None:
    """Raise UsageError for unreadable cookies and for options that yt-dlp rejects."""
    import yt_dlp
    from yt_dlp.utils import YoutubeDLError

    options = ytdlp_options(connection, RateLimits()) | {"logger": YtdlpLogger()}
    try:
        jar = yt_dlp.YoutubeDL(options).cookiejar
    except ValueError as error:
        raise UsageError(f"yt-dlp rejects Connection(...): {error}") from error
    except YoutubeDLError as error:
        raise cookies_error(failure_from_exception(error, [])) from error
    log.debug("%d cookies", len(jar))


def ytdlp_options(connection: Connection, rate_limits: RateLimits) -> dict[str, Any]:
    """Translate our settings into yt-dlp's options."""
    browser, _, profile = connection.cookies_browser.partition(":")
    runtime, _, path = connection.js_runtime.partition(":")
    return {
        "outtmpl": {"default": "%(id)s.%(ext)s"},
        "quiet": True,
        "noprogress": True,
        "color": {"stdout": "no_color", "stderr": "no_color"},
        "noplaylist": True,  # a video's URL that also names a playlist means the video
        "extract_flat": "in_playlist",
        "ffmpeg_location": NO_FFMPEG,
        "hls_prefer_native": True,
        "fixup": "never",  # bytes must not depend on whether ffmpeg is installed
        "updatetime": False,
        "buffersize": BLOCK_BYTES,
        "noresizebuffer": True,
        "socket_timeout": connection.timeout,
        "retries": connection.retries,
        "fragment_retries": connection.retries,
        "sleep_interval_requests": rate_limits.between_requests,
        "ratelimit": rate_limits.bytes_per_second,
        "proxy": connection.proxy or None,
        "cookiefile": _cookie_stream(connection.cookies_file) if connection.cookies_file else None,
        "cookiesfrombrowser": (browser, profile or None, None, None) if browser else None,
        "extractor_args": {ie: dict(args) for ie, args in connection.extractor_args.items()},
        "js_runtimes": {runtime: {"path": path} if path else {}},
    }


def _cookie_stream(path: str | Path) -> StringIO:
    """Read cookies into memory: yt-dlp would rewrite the file, in every thread at once."""
    try:
        return StringIO(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise cookies_error(YtdlpFailure(text=str(error))) from error


def ytdlp_version() -> str:
    """Return the tool's name and version: 'yt-dlp 2026.10.26'."""
    from yt_dlp.version import __version__

    return f"yt-dlp {__version__}"


def staleness_warning(version: str, today: date) -> str:
    """Return a warning if this yt-dlp is older than `STALE_DAYS`; else ''."""
    parts = version.removeprefix("yt-dlp ").split(".")
    days = (today - date(*map(int, parts[:3]))).days
    if days <= STALE_DAYS:
        return ""
    return (
        f"{version} is {days} days old, and YouTube changes every few weeks: "
        "pip install -U 'yt-dlp[default]'"
    )


def plan_from_info(info: InfoDict) -> dict[str, Any]:
    """Return the fields that a download plan keeps, without passwords and tokens."""
    plan = {name: info[name] for name in PLAN_FIELDS if info.get(name) is not None}
    if has_secret(strip_credentials(str(plan.get("url", "")))):
        del plan["url"]  # the page is asked for it again
    return {name: public_value(value) for name, value in plan.items()}


def _entries(info: InfoDict) -> list[dict[str, Any]] | None:
    """Return the entries of a list; None if the information is of one video."""
    if info.get("_type", "video") not in ("playlist", "multi_video"):
        return None
    return [entry for entry in info.get("entries") or () if entry]


def _is_link(entry: InfoDict) -> bool:
    return entry.get("_type") in ("url", "url_transparent")


def _is_list(entry: InfoDict) -> bool:
    return str(entry.get("ie_key") or "").endswith(("Tab", "Playlist"))


def _listing_fields(info: InfoDict, source_id: str, url: str) -> dict[str, Any]:
    """Return listing fields; a YouTube video is identified by its id, others by `source_id`."""
    return {
        "source_id": video_id(url) or public_url(source_id),
        "url": strip_credentials(url),
        "title": info.get("title") or "",
        "seconds": info.get("duration") or 0.0,
        "bytes": info.get("filesize") or info.get("filesize_approx") or 0,
    }
