"""SourceRefCounter: count the items that still need a source video, so that it can be deleted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brickfilm.engine.ledger import Ledger
from brickfilm.engine.stage import Stage
from brickfilm.records import Video


@dataclass(frozen=True)
class SourceOrigin:
    """The stage that fetched a video, and the item that it was made from."""

    stage: Stage[Any, Any]
    item: Any


class SourceRefCounter:
    """References to each video from items at or before the last stage that reads source files."""

    def __init__(self, stages: Sequence[Stage[Any, Any]]) -> None:
        self.refetch_needed = False
        """True if deleted videos are needed again: another pass fetches them."""
        self._last_reader = max(
            (n for n, s in enumerate(stages) if s.needs_source_file), default=-1
        )
        self._origins: dict[Path, SourceOrigin] = {}
        self._ref_counts: Counter[Path] = Counter()
        self._pinned: set[Path] = set()

    def register(self, video: Video, origin: SourceOrigin) -> None:
        """Remember the origin of a video."""
        self._origins[video.path] = origin

    def request_refetch(self, item: Any, ledger: Ledger, *, dry_run: bool) -> bool:
        """Return True if an item's video was deleted and another pass will fetch it again."""
        video = _video_of(item)
        if video is None or (ledger.work / video.path).is_file():
            return False
        origin = self._origins.get(video.path)
        if origin is None or dry_run:
            return origin is not None
        if not origin.stage.request_source_refetch(origin.item, ledger.work):
            return False
        for part in origin.stage.parts():
            ledger.invalidate(part.digest, part.key(origin.item))
        self.refetch_needed = True
        return True

    def add_ref(self, position: int, item: Any) -> None:
        """Count an item that begins to wait for the stage at `position`."""
        self._add_to_count(position, item, 1)

    def drop_ref(self, position: int, item: Any) -> None:
        """Discount an item that has its answer, or gets none in this run."""
        self._add_to_count(position, item, -1)

    def pin(self, position: int, item: Any) -> None:
        """Keep an item's video in this run, because the next run may read it."""
        video = _video_of(item)
        if video and position <= self._last_reader:
            self._pinned.add(video.path)

    def unreferenced_origins(self, items: Iterable[Any]) -> list[SourceOrigin]:
        """Return the origins of those items' videos that no stage will read again."""
        paths = {video.path for item in items if (video := _video_of(item))}
        return [
            self._origins[path]
            for path in sorted(paths & self._origins.keys())
            if not self._ref_counts[path] and path not in self._pinned
        ]

    def _add_to_count(self, position: int, item: Any, step: int) -> None:
        video = _video_of(item)
        if video and position <= self._last_reader:
            self._ref_counts[video.path] += step


def _video_of(item: Any) -> Video | None:
    """Return the video of a clip or an image, or the item itself; a listing has none yet."""
    return item if isinstance(item, Video) else getattr(item, "video", None)
