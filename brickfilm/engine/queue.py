"""StageQueue: a stage's inbox, the answers being computed for it, and its calls in flight."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from brickfilm.engine.calls import AnyStage, parts_of, with_cost
from brickfilm.engine.capabilities import MultiPart
from brickfilm.engine.ledger import ItemResult, Reservation
from brickfilm.engine.stage import WorkItem
from brickfilm.errors import InvalidResponse, ItemError, NoResponse, Rejected, Waiting
from brickfilm.records import Clip, Video

AnswerKey = tuple[str, str]
"""(part digest, key): the address of one answer in the ledger."""

MAX_ATTEMPTS_WITHOUT_RESPONSE = 3
INBOX_ROUNDS = 4
"""An inbox may hold this many rounds of calls before the stages above it pause."""


class Failures(dict[AnswerKey, ItemError]):
    """Errors of answers that are not tried again in this build."""

    def __init__(self) -> None:
        super().__init__()
        self._attempts: Counter[AnswerKey] = Counter()

    def count_attempt(self, answer_key: AnswerKey, error: ItemError) -> None:
        """Keep the error, unless it is a lost or invalid response that may be requested again."""
        self._attempts[answer_key] += 1
        exhausted = self._attempts[answer_key] >= MAX_ATTEMPTS_WITHOUT_RESPONSE or (
            isinstance(error, InvalidResponse) and error.final
        )
        if exhausted or not isinstance(error, NoResponse):
            self[answer_key] = error


@dataclass
class StageQueue:
    """The queue of one stage in a run."""

    position: int
    stage: AnyStage
    concurrency: int
    inbox: deque[WorkItem] = field(default_factory=deque)
    in_progress: dict[AnswerKey, list[WorkItem]] = field(default_factory=dict)
    """Answers being computed, each with the work item in the inbox or in flight and those that wait
    for the same answer. All answers of a work item share one list."""
    num_items: int = field(init=False, default=0)
    """Number of `items()`, which takes as long as there are items."""
    calls_in_flight: int = 0
    unlisted: int | None = None
    """Entries that the source has yet to list into the first queue, if it knows their number."""

    def __post_init__(self) -> None:
        self.parts = parts_of(self.stage)
        self._kinds = {kind.__name__.lower() for kind in self.stage.input_types}
        self._grouped = self.stage if isinstance(self.stage, MultiPart) else None
        self._max_items = self._grouped.max_items_per_call if self._grouped else 1

    @property
    def has_room(self) -> bool:
        return len(self.inbox) < INBOX_ROUNDS * self.concurrency * self._max_items

    def accepts(self, kind: type) -> bool:
        """Return False if items of this type pass the stage unchanged."""
        return not self.stage.input_types or issubclass(kind, self.stage.input_types)

    def counts(self, result: ItemResult) -> bool:
        """Return False for a result about what the stage made, such as a clip of its video."""
        return not self._kinds or result.kind in self._kinds

    def items(self) -> Iterator[Any]:
        """Yield every item in the inbox, in flight, or waiting for the answer of one of those."""
        lists = {id(waiters): waiters for waiters in self.in_progress.values()}
        return (work_item.item for waiters in lists.values() for work_item in waiters)

    def enqueue(self, work_item: WorkItem) -> None:
        """Queue a work item, or let it wait for an equal one: the same answer is computed once."""
        self.num_items += 1
        answer_keys = missing_answers(work_item)
        for answer_key in answer_keys:
            if answer_key in self.in_progress:
                self.in_progress[answer_key].append(work_item)
                return
        waiters = [work_item]
        self.in_progress.update(dict.fromkeys(answer_keys, waiters))
        self.inbox.append(with_cost(self.stage, work_item))

    def next_batch(self) -> list[WorkItem]:
        """Take the work items of the next call: one group, shared among idle workers."""
        batch = [self.inbox.popleft()]
        if self._grouped is None:
            return batch
        group = self._grouped.group(batch[0].item)
        share = math.ceil((1 + len(self.inbox)) / max(1, self.concurrency - self.calls_in_flight))
        while (
            self.inbox
            and len(batch) < min(self._max_items, share)
            and self._grouped.group(self.inbox[0].item) == group
        ):
            batch.append(self.inbox.popleft())
        return batch

    def pop_waiters(self, work_items: Iterable[WorkItem]) -> list[WorkItem]:
        """Return work items that leave the queue, and those that waited for their answers."""
        waiters: list[WorkItem] = []
        for work_item in work_items:
            lists = [self.in_progress.pop(key) for key in missing_answers(work_item)]
            waiters += lists[0]
        self.num_items -= len(waiters)
        return waiters

    def item_result(self, item: Any, error: ItemError | None) -> ItemResult:
        """Return the result of an item at this stage, for the ledger."""
        return ItemResult(
            position=self.position,
            stage=self.stage.name,
            kind=type(item).__name__.lower(),
            item=item.id,
            source_id=str((item if hasattr(item, "source_id") else item.video).source_id),
            status=_status(error),
            reason=error.reason if error else "",
            message=str(error) if error else "",
            seconds=footage_seconds(item),
        )


@dataclass(frozen=True)
class InFlightCall:
    """A call that was submitted to the executor."""

    queue: StageQueue
    work_items: Sequence[WorkItem]
    reservations: Sequence[Reservation | None]


def missing_answers(work_item: WorkItem) -> list[AnswerKey]:
    """Return the missing answers of a work item, in the order of the stage's parts."""
    return [(part, key) for part, key in work_item.keys.items() if part in work_item.parts]


def _status(error: ItemError | None) -> str:
    match error:
        case None:
            return "done"
        case Rejected():
            return "rejected"
        case Waiting():
            return "waiting"
    return "failed"


def footage_seconds(item: Any) -> float:
    """Return the duration of the footage that an item is."""
    if isinstance(item, Clip):
        return item.end - item.start
    return item.duration if isinstance(item, Video) else 0.0
