"""SourceRefs: delete a downloaded video once no stage will read it, and have it fetched again.

An observer of the loop. It only follows the videos of stages that are a `SourceOwner`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from brickfilm.engine.calls import AnyStage, work_item_of
from brickfilm.engine.capabilities import SourceOwner, has_capability
from brickfilm.engine.ledger import Ledger
from brickfilm.engine.queue import StageQueue
from brickfilm.errors import ItemError
from brickfilm.records import Video


@dataclass(frozen=True)
class SourceOrigin:
    """The stage that fetched a video, and the item that it was made from."""

    stage: AnyStage
    owner: SourceOwner
    item: Any


class SourceRefs:
    """The items at or before the last stage that reads source files, by video."""

    def __init__(self, queues: Sequence[StageQueue], ledger: Ledger, *, dry_run: bool) -> None:
        self.refetch_needed = False
        """True if deleted videos are needed again: another pass fetches them."""
        self._ledger = ledger
        self._dry_run = dry_run
        last = max((q.position for q in queues if q.stage.needs_source_file), default=-1)
        self._readers = queues[: last + 1]
        self._origins: dict[Path, SourceOrigin] = {}
        self._pinned: set[Path] = set()
        self._has_owner = any(has_capability(queue.stage, SourceOwner) for queue in queues)
        self._changed: set[Path] = set()
        """Videos with an item that got a result since the last update."""

    def on_result(
        self, queue: StageQueue, item: Any, status: str, outputs: Sequence[Any] = ()
    ) -> None:
        """Remember where videos come from; keep those that the next run may read."""
        if not self._has_owner:
            return
        if has_capability(queue.stage, SourceOwner):
            owner = cast(SourceOwner, queue.stage)
            records = (o.record if isinstance(o, ItemError) else o for o in outputs)
            for video in (record for record in records if isinstance(record, Video)):
                self._origins[video.path] = SourceOrigin(queue.stage, owner, item)
                self._changed.add(video.path)
        path = _video_path(item)
        if path in self._origins:
            self._changed.add(path)
            if status in ("failed", "waiting") and queue.position < len(self._readers):
                self._pinned.add(path)

    def update(self) -> None:
        """Delete the changed videos that no item needs; called when the loop waits."""
        if self._changed and not self._dry_run:
            needed = {_video_path(item) for queue in self._readers for item in queue.items()}
            for path in sorted(self._changed - needed - self._pinned):
                origin = self._origins[path]
                origin.owner.release_source(origin.item, self._ledger.work)
        self._changed.clear()

    def request_refetch(self, item: Any) -> bool:
        """Return True if an item's video was deleted and another pass will fetch it again."""
        path = _video_path(item)
        if path not in self._origins or (self._ledger.work / path).is_file():
            return False
        if self._dry_run:
            return True
        origin = self._origins[path]
        if not origin.owner.request_source_refetch(origin.item, self._ledger.work):
            return False
        for part, key in work_item_of(origin.stage, origin.item).keys.items():
            self._ledger.invalidate(part, key)
        self.refetch_needed = True
        return True


def _video_path(item: Any) -> Path:
    """Return the path of the item's video; a listing has none yet."""
    video = item if isinstance(item, Video) else getattr(item, "video", None)
    return video.path if video else Path()
