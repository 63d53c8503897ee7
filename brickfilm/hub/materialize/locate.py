"""Find the source videos of rows: in a local folder, else at their URL."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from brickfilm.dataset.rows import DatasetRow, video_id_of
from brickfilm.engine.stage import Answer, Stage
from brickfilm.errors import ItemError, UsageError
from brickfilm.records import Listing, Video
from brickfilm.sources import FolderSource, RateLimits
from brickfilm.sources.youtube.fetch import FetchVideo
from brickfilm.sources.youtube.throttle import Throttle

MIN_DOWNLOAD_HEIGHT = 144


class VideoLocator:
    """Finds a source video by its bytes, then by its source id, else downloads it."""

    def __init__(
        self, local: Sequence[Video], work: Path, rate_limits: RateLimits | None = None
    ) -> None:
        self.by_id = {video.id: video for video in local}
        self.by_source_id = {video.source_id: video for video in local}
        self.work = work
        self.rate_limits = rate_limits or RateLimits()
        self.throttle = Throttle(self.rate_limits)
        """Shared by all downloads, so that their distance is kept."""

    @classmethod
    def from_folder(
        cls, sources: Path | None, work: Path, rate_limits: RateLimits | None
    ) -> VideoLocator:
        """Probe and digest the videos of a folder, if there is one."""
        if sources is None:
            return cls([], work, rate_limits)
        folder = FolderSource(sources)
        (probe,) = folder.stages()
        with probe.open(work) as compute:
            videos = [v for item in folder.items() for v in _probe_video(probe, compute, item)]
        return cls(videos, work, rate_limits)

    def find(self, row: DatasetRow) -> Video:
        """Return the source video of a row; raise ItemError or UsageError if there is none."""
        video_id, source_id = video_id_of(row["id"]), row["source_id"]
        if video := self.by_id.get(video_id) or self.by_source_id.get(source_id):
            return video
        if not row["source_url"]:
            raise UsageError(
                f"{source_id!r} has no URL: put the video into a folder, --sources FOLDER"
            )
        return self._fetch(Listing(source_id=source_id, url=row["source_url"]), row)

    def _fetch(self, listing: Listing, row: DatasetRow) -> Video:
        stage = FetchVideo(
            max_height=max(MIN_DOWNLOAD_HEIGHT, int(row["height"])),
            on_low_resolution="keep",
            rate_limits=self.rate_limits,
        )
        metadata = stage.fetch(listing, self.work, self.throttle)
        (video,) = stage.apply(listing, stage.answer(metadata))
        return video


def _probe_video(
    probe: Stage[Any, Any], compute: Callable[[Listing], Answer], item: Listing
) -> Iterator[Video]:
    """Yield the video of a file; nothing if it is none: rows that need it will be gone."""
    with suppress(ItemError):
        yield from (v for v in probe.apply(item, compute(item)) if isinstance(v, Video))
