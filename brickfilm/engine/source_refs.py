"""Which films a run will still read: so that one can go as soon as nobody needs it."""

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
    """The stage that brought a film, and the item it was."""

    stage: Stage[Any, Any]
    item: Any


class SourceRefCounter:
    """Counts a film's items at or above the last stage that reads films."""

    def __init__(self, stages: Sequence[Stage[Any, Any]]) -> None:
        self.refetch_needed = False
        """Deleted films are needed again: another pass fetches them."""
        self._last_reader = max(
            (n for n, s in enumerate(stages) if s.needs_source_file), default=-1
        )
        self._origins: dict[Path, SourceOrigin] = {}
        self._ref_counts: Counter[Path] = Counter()
        self._pinned: set[Path] = set()

    def register(self, video: Video, origin: SourceOrigin) -> None:
        """A film has arrived."""
        self._origins[video.path] = origin

    def request_refetch(self, item: Any, ledger: Ledger, *, dry_run: bool) -> bool:
        """Whether an item's film was deleted and another pass will bring it back."""
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
        """An item begins to wait for a stage."""
        self._add_to_count(position, item, 1)

    def drop_ref(self, position: int, item: Any) -> None:
        """An item has its answer, or will have none in this run."""
        self._add_to_count(position, item, -1)

    def pin(self, position: int, item: Any) -> None:
        """Another run will go on with an item, and may then read its film."""
        video = _video_of(item)
        if video and position <= self._last_reader:
            self._pinned.add(video.path)

    def unreferenced_origins(self, items: Iterable[Any]) -> list[SourceOrigin]:
        """The makers of those items' films that nothing will read again."""
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
    """The film of a clip or an image, or the film itself; a listing has none yet."""
    return item if isinstance(item, Video) else getattr(item, "video", None)
