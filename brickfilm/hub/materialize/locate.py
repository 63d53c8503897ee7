"""Find the source videos of rows: in a local folder, else by the source that downloads them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from brickfilm.dataset.rows import DatasetRow, video_id_of
from brickfilm.engine.stage import Answer, Stage
from brickfilm.errors import ItemError, UsageError
from brickfilm.records import Listing, Video
from brickfilm.sources import FolderSource
from brickfilm.sources.base import FetchingSource, RefetchFunction
from brickfilm.sources.base.public_addresses import (
    WEB_SCHEMES,
    check_web_address,
    public_addresses_only,
)


class VideoLocator:
    """Finds a source video by its bytes, then by its source id, else downloads it."""

    def __init__(
        self,
        local: Sequence[Video],
        refetch: RefetchFunction,
        *,
        allow_private: bool,
        schemes: Collection[str] = WEB_SCHEMES,
    ) -> None:
        self.schemes = schemes
        self.by_id = {video.id: video for video in local}
        self.by_source_id = {video.source_id: video for video in local}
        self.refetch = refetch
        self.allow_private = allow_private

    @classmethod
    @contextmanager
    def open(
        cls,
        work: Path,
        sources: Path | None,
        downloads: FetchingSource,
        *,
        allow_private: bool = False,
    ) -> Iterator[VideoLocator]:
        """Probe and digest the videos of the folder `sources`, if there is one.

        allow_private: download from addresses of this network too.
        """
        local = _local_videos(sources, work) if sources else []
        with downloads.open_refetch(work) as refetch:
            schemes = getattr(downloads, "schemes", WEB_SCHEMES)
            yield cls(local, refetch, allow_private=allow_private, schemes=schemes)

    def find(self, row: DatasetRow) -> Video:
        """Return the source video of a row; raise ItemError or UsageError if there is none."""
        video_id, source_id = video_id_of(row["id"]), row["source_id"]
        if video := self.by_id.get(video_id) or self.by_source_id.get(source_id):
            return video
        if not row["source_url"]:
            raise UsageError(
                f"{source_id!r} has no URL: put the video into a folder, --sources FOLDER"
            )
        check_web_address(row["source_url"], self.schemes if self.allow_private else WEB_SCHEMES)
        listing = Listing(source_id=source_id, url=row["source_url"])
        with nullcontext() if self.allow_private else public_addresses_only():
            return self.refetch(listing, int(row["height"]))


def _local_videos(sources: Path, work: Path) -> list[Video]:
    folder = FolderSource(sources, hdr="tonemap")
    (probe,) = folder.stages()
    with probe.open(work) as compute:
        listings = [item for item in folder.items() if isinstance(item, Listing)]
        return [v for listing in listings for v in _probe_video(probe, compute, listing)]


def _probe_video(
    probe: Stage[Any, Any], compute: Callable[[Listing], Answer], item: Listing
) -> Iterator[Video]:
    """Yield the video of a file; nothing if it is none: rows that need it will be gone."""
    with suppress(ItemError):
        yield from (v for v in probe.apply(item, compute(item)) if isinstance(v, Video))
