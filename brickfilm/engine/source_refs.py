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
class Maker:
    """The stage that brought a film, and the item it was."""

    stage: Stage[Any, Any]
    item: Any


class FilmsInUse:
    """Counts a film's items at or above the last stage that reads films."""

    def __init__(self, stages: Sequence[Stage[Any, Any]]) -> None:
        self.wanted_back = False
        """Deleted films are needed again: another pass fetches them."""
        self._last_reader = max((n for n, s in enumerate(stages) if s.reads_film), default=-1)
        self._makers: dict[Path, Maker] = {}
        self._waiting: Counter[Path] = Counter()
        self._kept: set[Path] = set()

    def made(self, video: Video, maker: Maker) -> None:
        """A film has arrived."""
        self._makers[video.path] = maker

    def want_back(self, item: Any, ledger: Ledger, *, rehearse: bool) -> bool:
        """Whether an item's film was deleted and another pass will bring it back."""
        video = _film_of(item)
        if video is None or (ledger.work / video.path).is_file():
            return False
        maker = self._makers.get(video.path)
        if maker is None or rehearse:
            return maker is not None
        if not maker.stage.recover(maker.item, ledger.work):
            return False
        for part in maker.stage.parts():
            ledger.drop(part.digest, part.key(maker.item))
        self.wanted_back = True
        return True

    def enter(self, position: int, item: Any) -> None:
        """An item begins to wait for a stage."""
        self._count(position, item, 1)

    def leave(self, position: int, item: Any) -> None:
        """An item has its answer, or will have none in this run."""
        self._count(position, item, -1)

    def keep(self, position: int, item: Any) -> None:
        """Another run will go on with an item, and may then read its film."""
        video = _film_of(item)
        if video and position <= self._last_reader:
            self._kept.add(video.path)

    def done_with(self, items: Iterable[Any]) -> list[Maker]:
        """The makers of those items' films that nothing will read again."""
        paths = {video.path for item in items if (video := _film_of(item))}
        return [
            self._makers[path]
            for path in sorted(paths & self._makers.keys())
            if not self._waiting[path] and path not in self._kept
        ]

    def _count(self, position: int, item: Any, step: int) -> None:
        video = _film_of(item)
        if video and position <= self._last_reader:
            self._waiting[video.path] += step


def _film_of(item: Any) -> Video | None:
    """The film of a clip or an image, or the film itself; a listing has none yet."""
    return item if isinstance(item, Video) else getattr(item, "video", None)
