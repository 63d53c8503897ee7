"""Download a row's video by its URL alone: files of known kinds as they are, pages by yt-dlp."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from brickfilm.records import Listing, Video
from brickfilm.sources import RemoteSource, YouTubeSource
from brickfilm.sources.base import RefetchFunction
from brickfilm.sources.base.public_addresses import WEB_SCHEMES


@dataclass(frozen=True)
class AnyDownloads:
    """Source of the videos of rows if the caller names none."""

    schemes = RemoteSource.schemes

    @contextmanager
    def open_refetch(self, work: Path) -> Iterator[RefetchFunction]:
        """Yield a function that asks the Hub and storage directly, and yt-dlp for the rest."""
        with ExitStack() as stack:
            files = stack.enter_context(RemoteSource().open_refetch(work))
            pages = stack.enter_context(YouTubeSource(()).open_refetch(work))

            def refetch(listing: Listing, height: int) -> Video:
                return (files if _is_file(listing.url) else pages)(listing, height)

            yield refetch


def _is_file(url: str) -> bool:
    """Return True for storage, files of the Hub, and parts of a tar or table."""
    from huggingface_hub import constants

    parts = urlsplit(url)
    is_hub = parts.netloc == urlsplit(constants.ENDPOINT).netloc
    is_part = bool(parts.fragment) and parts.path.endswith((".tar", ".parquet"))
    return parts.scheme not in WEB_SCHEMES or is_hub or is_part
