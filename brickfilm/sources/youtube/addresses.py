"""Parse URLs, handles and ids of videos, channels and playlists into listings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from brickfilm.errors import UsageError
from brickfilm.records import Listing
from brickfilm.schema.public_text import public_text, public_url, strip_credentials

YOUTUBE_URL = "https://www.youtube.com"
VIDEO_ID = re.compile(r"[\w-]{11}")
CHANNEL_ID = re.compile(r"UC[\w-]{22}")
PLAYLIST_ID = re.compile(r"(PL|UU|FL|OLAK5uy_)[\w-]{10,}")
HANDLE = re.compile(r"@[\w.·-]{3,}")
COMMENT = re.compile(r"(^|\s)#.*")
VIDEO_PATHS = ("shorts", "embed", "live", "v")
CHANNEL_PATHS = ("channel", "c", "user")


def listing_of(entry: str) -> Listing:
    """Parse a URL, video id, handle, channel id or playlist id; UsageError for anything else.

    A YouTube video is identified by its id, so two addresses of it are fetched once. A channel
    means its uploads ("Videos"); give a tab's URL for its shorts or past streams.
    """
    entry = entry.strip()
    if "://" in entry:
        return _of_url(entry)
    if HANDLE.fullmatch(entry):
        return _url_listing(f"{YOUTUBE_URL}/{entry}/videos")
    if CHANNEL_ID.fullmatch(entry):
        return _url_listing(f"{YOUTUBE_URL}/channel/{entry}/videos")
    if VIDEO_ID.fullmatch(entry):
        return _video_listing(entry)
    if PLAYLIST_ID.fullmatch(entry):
        return _url_listing(f"{YOUTUBE_URL}/playlist?list={entry}")
    if re.match(r"(www\.|m\.)?(youtube\.com|youtu\.be)/", entry):
        return _of_url(f"https://{entry}")
    raise UsageError(
        f"{entry!r} is not an address that YouTubeSource knows: give a URL, a video id (11 "
        "characters), a handle (@name), a channel id (UC...) or a playlist id (PL...)"
    )


def video_id(url: str) -> str | None:
    """Return the id of the YouTube video that a URL names, if any."""
    parts = urlsplit(url)
    segments = [segment for segment in parts.path.split("/") if segment]
    if parts.hostname == "youtu.be":
        candidate = segments[0] if segments else ""
    elif not _is_youtube(url):
        return None
    elif segments[:1] == ["watch"]:
        candidate = parse_qs(parts.query).get("v", [""])[0]
    else:
        candidate = segments[1] if len(segments) > 1 and segments[0] in VIDEO_PATHS else ""
    return candidate if VIDEO_ID.fullmatch(candidate) else None


def read_entries(path: str | Path) -> Iterator[str]:
    """Yield the entries of a text file, one a line; `#` after a space or at the start is a comment.

    Raises UsageError with file and line for an entry that is not an address.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the list {str(path)!r} cannot be read ({error})") from error
    for number, line in enumerate(lines, start=1):
        if entry := COMMENT.sub("", line).strip():
            try:
                listing_of(entry)
            except UsageError as error:
                raise UsageError(f"{path}, line {number}: {error}") from None
            yield entry


def _of_url(url: str) -> Listing:
    if not urlsplit(url).hostname or urlsplit(url).scheme not in ("http", "https"):
        raise UsageError(
            f"{public_text(url)!r} is not a web address: it must start with http:// or https://"
        )
    if youtube_id := video_id(url):
        return _video_listing(youtube_id)
    return _url_listing(_uploads(url) if _is_youtube(url) else url)


def _uploads(url: str) -> str:
    """Add the tab of uploads to a channel's bare address; return any other address unchanged."""
    segments = [segment for segment in urlsplit(url).path.split("/") if segment]
    is_channel = (len(segments) == 1 and segments[0].startswith("@")) or (
        len(segments) == 2 and segments[0] in CHANNEL_PATHS
    )
    return f"{YOUTUBE_URL}/{'/'.join(segments)}/videos" if is_channel else url


def _is_youtube(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return any(host == site or host.endswith(f".{site}") for site in ("youtube.com", "youtu.be"))


def _video_listing(youtube_id: str) -> Listing:
    return Listing(source_id=youtube_id, url=f"{YOUTUBE_URL}/watch?v={youtube_id}")


def _url_listing(url: str) -> Listing:
    """Return a listing whose id may be published; a token in its URL is needed to download it."""
    return Listing(source_id=public_url(url), url=strip_credentials(url))
