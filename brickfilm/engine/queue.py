"""StageQueue: a stage's inbox, the answers being computed for it, and its calls in flight."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from brickfilm.engine.ledger import ItemResult, Reservation
from brickfilm.engine.pipeline import AnyStage
from brickfilm.engine.stage import WorkItem
from brickfilm.records import Clip, Video

AnswerKey = tuple[str, str]
"""(part digest, key): the address of one answer in the ledger."""

INBOX_ROUNDS = 4
"""An inbox may hold this many rounds of calls before the stages above it pause."""


@dataclass
class StageQueue:
    """The queue of one stage in a run."""

    position: int
    stage: AnyStage
    concurrency: int
    inbox: deque[WorkItem] = field(default_factory=deque)
    in_progress: dict[AnswerKey, list[Any]] = field(default_factory=dict)
    """Answers being computed, each with the other items that wait for it."""
    calls_in_flight: int = 0
    attempts: Counter[AnswerKey] = field(default_factory=Counter)

    @property
    def has_room(self) -> bool:
        return len(self.inbox) < INBOX_ROUNDS * self.concurrency * self.stage.max_items_per_call

    def accepts(self, item: Any) -> bool:
        """Return False if items of this type pass the stage unchanged."""
        return not self.stage.input_types or isinstance(item, self.stage.input_types)

    def answer_keys(self, work_item: WorkItem) -> list[AnswerKey]:
        """Return the missing answers of a work item, in the order of the stage's parts."""
        return [
            (p.digest, p.key(work_item.item))
            for p in self.stage.parts()
            if p.digest in work_item.parts
        ]

    def enqueue(self, item: Any, missing: Sequence[AnswerKey]) -> None:
        """Queue an item, or let it wait for an equal one: the same answer is computed once."""
        for answer_key in missing:
            if answer_key in self.in_progress:
                self.in_progress[answer_key].append(item)
                return
        self.in_progress.update({answer_key: [] for answer_key in missing})
        self.inbox.append(WorkItem(item, frozenset(digest for digest, _ in missing)))

    def next_batch(self) -> list[WorkItem]:
        """Take the work items of the next call: one group, shared among idle workers."""
        group = self.stage.group(self.inbox[0].item)
        share = math.ceil(len(self.inbox) / max(1, self.concurrency - self.calls_in_flight))
        batch: list[WorkItem] = []
        while (
            self.inbox
            and len(batch) < min(self.stage.max_items_per_call, share)
            and self.stage.group(self.inbox[0].item) == group
        ):
            batch.append(self.inbox.popleft())
        return batch

    def pop_waiters(self, work_item: WorkItem) -> list[Any]:
        """Return the work item's own item and those that waited for the same answers."""
        waiters = [self.in_progress.pop(key, []) for key in self.answer_keys(work_item)]
        return [work_item.item, *(item for items in waiters for item in items)]

    def item_result(self, item: Any, status: str, reason: str, message: str) -> ItemResult:
        """Return the result of an item at this stage, for the ledger."""
        return ItemResult(
            position=self.position,
            stage=self.stage.name,
            kind=type(item).__name__.lower(),
            item=item.id,
            source_id=str((item if hasattr(item, "source_id") else item.video).source_id),
            status=status,
            reason=reason,
            message=message,
            seconds=_footage_seconds(item),
        )


@dataclass(frozen=True)
class InFlightCall:
    """A call that was submitted to the executor."""

    queue: StageQueue
    work_items: Sequence[WorkItem]
    reservations: Sequence[Reservation | None]


def _footage_seconds(item: Any) -> float:
    match item:
        case Video():
            return item.duration
        case Clip():
            return item.end - item.start
    return 0.0
