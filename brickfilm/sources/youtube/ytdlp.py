"""The one door to yt-dlp: list an address, look at a film, fetch its bytes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any

from brickfilm.errors import Failed, UsageError
from brickfilm.records import Listing
from brickfilm.sources.youtube.addresses import video_id
from brickfilm.sources.youtube.failures import YtdlpFailure, cookies_error
from brickfilm.sources.youtube.formats import InfoDict
from brickfilm.sources.youtube.settings import Connection, RateLimits
from brickfilm.sources.youtube.ytdlp_errors import (
    YtdlpLogger,
    failure_from_exception,
    translate_errors,
)

log = logging.getLogger(__name__)

STALE_DAYS = 60
"""YouTube changes every few weeks; a yt-dlp older than this usually misses a change."""
BLOCK_BYTES = 64 << 10
"""What a kill or a broken connection costs at most; yt-dlp's own blocks grow to 4 MiB."""
MAX_LIST_DEPTH = 2
"""A channel's page of playlists is a list of lists; nothing useful is deeper."""
PLAN_FIELDS = (
    *("id", "title", "uploader", "channel", "upload_date", "license", "webpage_url", "extractor"),
    *("extractor_key", "duration", "live_status", "format_id", "ext", "vcodec", "acodec", "fps"),
    *("width", "height", "dynamic_range", "filesize", "url", "protocol", "http_headers"),
)
"""What a plan keeps of yt-dlp's information dictionary: enough to go on with the same file."""


@dataclass(frozen=True, kw_only=True)
class YtdlpSession:
    """yt-dlp with its options, open for one film or one list."""

    ydl: Any
    title: str

    def extract_info(self, url: str, entry_id: str = "") -> InfoDict:
        """One film's information with a format chosen, nothing of it fetched.

        pick: the id to take where the page holds several films.
        """
        info = self._extract(url)
        entries = _entries(info)
        if entries is None:
            return info
        chosen = [entry for entry in entries if not entry_id or entry.get("id") == entry_id]
        if len(chosen) != 1:
            raise Failed(
                f"{self.title}: its page holds {len(entries)} films now, and none can be told from "
                "the others: list the page again (a new as_of=)",
                reason="page changed",
            )
        return self._extract(chosen[0]["url"]) if _is_link(chosen[0]) else chosen[0]

    def select_format(self, film: InfoDict) -> InfoDict:
        """What an extractor tells of a film, with a format chosen."""
        with translate_errors(self.ydl, self.title):
            info = self.ydl.process_ie_result(dict(film), download=False)
        return self.ydl.sanitize_info(info)  # type: ignore[no-any-return]

    def download(self, info: InfoDict, draft: Path) -> None:
        """Download the chosen format to `draft`, going on where its `.part` file ends."""
        self.ydl.params["outtmpl"]["default"] = str(draft).replace("%", "%%")
        with translate_errors(self.ydl, self.title):
            self.ydl.process_info(dict(info))
        if not draft.is_file():
            raise Failed(f"{self.title}: yt-dlp fetched nothing and said nothing, try again")

    def list_videos(self, url: str, depth: int = MAX_LIST_DEPTH) -> Iterator[dict[str, Any]]:
        """Every film that an address lists, in its order, without opening any of them."""
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
            elif "?" not in (entry.get("url") or "?"):  # a plain file, wherever it is embedded
                yield _listing_fields(entry, entry["url"], entry["url"])
            else:  # a film without an address of its own
                yield _listing_fields(entry, f"{url}#{entry['id']}", url)

    def _extract(self, url: str) -> dict[str, Any]:
        with translate_errors(self.ydl, self.title):
            info = self.ydl.extract_info(url, download=False)
        if not info:
            raise Failed(f"{self.title}: yt-dlp found nothing at {url}", reason="no film there")
        return self.ydl.sanitize_info(info)  # type: ignore[no-any-return]


@contextmanager
def open_session(
    listing: Listing,
    connection: Connection,
    rate_limits: RateLimits,
    *,
    progress_hook: Callable[[Mapping[str, Any]], None] | None = None,
    shown_warnings: set[str] | None = None,
    **more: Any,
) -> Iterator[YtdlpSession]:
    """yt-dlp, opened for one item.

    watch: is told of bytes as they come. told: warnings that people have had; added to.
    """
    import yt_dlp

    options = (
        ytdlp_options(connection, rate_limits)
        | {"progress_hooks": [progress_hook] if progress_hook else []}
        | more
    )
    with yt_dlp.YoutubeDL(options | {"logger": YtdlpLogger(shown_warnings)}) as ydl:
        yield YtdlpSession(ydl=ydl, title=listing.title or listing.url)


def check_connection(connection: Connection) -> None:
    """Raise UsageError for what concerns every film: cookies that cannot be read, odd words."""
    import yt_dlp
    from yt_dlp.utils import YoutubeDLError

    options = ytdlp_options(connection, RateLimits()) | {"logger": YtdlpLogger()}
    try:
        jar = yt_dlp.YoutubeDL(options).cookiejar
    except ValueError as error:
        raise UsageError(f"yt-dlp does not understand Access(...): {error}") from error
    except YoutubeDLError as error:
        raise cookies_error(failure_from_exception(error, [])) from error
    log.debug("%d cookies", len(jar))


def ytdlp_options(connection: Connection, rate_limits: RateLimits) -> dict[str, Any]:
    """Our settings in yt-dlp's words."""
    browser, _, profile = connection.cookies_browser.partition(":")
    runtime, _, path = connection.js_runtime.partition(":")
    return {
        "outtmpl": {"default": "%(id)s.%(ext)s"},
        "quiet": True,
        "noprogress": True,
        "color": {"stdout": "no_color", "stderr": "no_color"},
        "noplaylist": True,  # a film's address that also names a playlist means the film
        "extract_flat": "in_playlist",
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
    """A file of cookies as a stream: yt-dlp rewrites files as it ends, in every thread at once."""
    try:
        return StringIO(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise cookies_error(YtdlpFailure(text=str(error))) from error


def ytdlp_version() -> str:
    """What fetched: 'yt-dlp 2026.10.26'."""
    from yt_dlp.version import __version__

    return f"yt-dlp {__version__}"


def staleness_warning(version: str, today: date) -> str:
    """A warning where this yt-dlp is too old to be trusted, else nothing."""
    numbers = version.removeprefix("yt-dlp ").split(".")
    days = (today - date(*map(int, numbers[:3]))).days
    if days <= STALE_DAYS:
        return ""
    return (
        f"{version} is {days} days old, and YouTube changes every few weeks: "
        "pip install -U 'yt-dlp[default]'"
    )


def plan_from_info(info: InfoDict) -> dict[str, Any]:
    """What to write down of a film before its first byte is fetched."""
    return {name: info[name] for name in PLAN_FIELDS if info.get(name) is not None}


def _entries(info: InfoDict) -> list[dict[str, Any]] | None:
    """The films of a list, or None where the information is of one film."""
    if info.get("_type", "video") not in ("playlist", "multi_video"):
        return None
    return [entry for entry in info.get("entries") or () if entry]


def _is_link(entry: InfoDict) -> bool:
    return entry.get("_type") in ("url", "url_transparent")


def _is_list(entry: InfoDict) -> bool:
    return str(entry.get("ie_key") or "").endswith(("Tab", "Playlist"))


def _listing_fields(info: InfoDict, source_id: str, url: str) -> dict[str, Any]:
    """One film of a list: YouTube's under its id, others under their address."""
    found = video_id(url)
    return {
        "source_id": found or source_id,
        "url": url,
        "title": info.get("title") or "",
        "seconds": info.get("duration") or 0.0,
        "bytes": info.get("filesize") or info.get("filesize_approx") or 0,
    }
