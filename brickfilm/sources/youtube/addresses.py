"""What people write down for a film or a channel, and the address behind it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from brickfilm.errors import UsageError
from brickfilm.records import Listing

YOUTUBE_URL = "https://www.youtube.com"
VIDEO_ID = re.compile(r"[\w-]{11}")
CHANNEL_ID = re.compile(r"UC[\w-]{22}")
PLAYLIST_ID = re.compile(r"(PL|UU|FL|OLAK5uy_)[\w-]{10,}")
HANDLE = re.compile(r"@[\w.·-]{3,}")
COMMENT = re.compile(r"(^|\s)#.*")
VIDEO_PATHS = ("shorts", "embed", "live", "v")
CHANNEL_PATHS = ("channel", "c", "user")


def listing_of(entry: str) -> Listing:
    """A URL, video id, handle, channel id or playlist id as an item; UsageError for the rest.

    A film of YouTube is known by its id, so one film under two addresses is asked for once. A
    channel stands for its uploads ("Videos"); name the tab to have its shorts or past streams.
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
        f"{entry!r} is no address that YouTubeSource knows: give a URL, a video id (11 characters),"
        " a handle (@name), a channel id (UC...) or a playlist id (PL...)"
    )


def video_id(url: str) -> str | None:
    """The id of the one YouTube film that a URL names, if it does."""
    parts = urlsplit(url)
    steps = [step for step in parts.path.split("/") if step]
    if parts.hostname == "youtu.be":
        found = steps[0] if steps else ""
    elif not _is_youtube(url):
        return None
    elif steps[:1] == ["watch"]:
        found = parse_qs(parts.query).get("v", [""])[0]
    else:
        found = steps[1] if len(steps) > 1 and steps[0] in VIDEO_PATHS else ""
    return found if VIDEO_ID.fullmatch(found) else None


def read_entries(path: str | Path) -> Iterator[str]:
    """The entries of a text file, one a line; `#` after a space or at the start is a comment.

    UsageError names the file and line of an entry that cannot be understood.
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
        raise UsageError(f"{url!r} is no web address: it must start with http:// or https://")
    if found := video_id(url):
        return _video_listing(found)
    return _url_listing(_uploads(url) if _is_youtube(url) else url)


def _uploads(url: str) -> str:
    """A channel's bare address with its tab of uploads; any other address as it is."""
    steps = [step for step in urlsplit(url).path.split("/") if step]
    bare = (len(steps) == 1 and steps[0].startswith("@")) or (
        len(steps) == 2 and steps[0] in CHANNEL_PATHS
    )
    return f"{YOUTUBE_URL}/{'/'.join(steps)}/videos" if bare else url


def _is_youtube(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return any(host == site or host.endswith(f".{site}") for site in ("youtube.com", "youtu.be"))


def _video_listing(found: str) -> Listing:
    return Listing(source_id=found, url=f"{YOUTUBE_URL}/watch?v={found}")


def _url_listing(url: str) -> Listing:
    return Listing(source_id=url, url=url)
