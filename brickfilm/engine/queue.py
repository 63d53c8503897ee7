"""A stage at work: its inbox, what is asked in its name, and the calls in the air."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from brickfilm.engine.ledger import Reservation
from brickfilm.engine.pipeline import AnyStage
from brickfilm.engine.stage import WorkItem

AnswerKey = tuple[str, str]
"""(part digest, key): one question in the ledger."""

INBOX_ROUNDS = 4
"""An inbox holds this many rounds of calls before what is above it pauses."""


@dataclass
class StageQueue:
    """A stage at work: what waits for it, and what flies."""

    position: int
    stage: AnyStage
    concurrency: int
    inbox: deque[WorkItem] = field(default_factory=deque)
    in_progress: dict[AnswerKey, list[Any]] = field(default_factory=dict)
    """Rows being asked, each with the items that wait for the same answer."""
    calls_in_flight: int = 0
    attempts: Counter[AnswerKey] = field(default_factory=Counter)

    @property
    def has_room(self) -> bool:
        return len(self.inbox) < INBOX_ROUNDS * self.concurrency * self.stage.max_items_per_call

    def answer_keys(self, work_item: WorkItem) -> list[AnswerKey]:
        """The questions of a want, in the order of the stage's parts."""
        return [
            (p.digest, p.key(work_item.item))
            for p in self.stage.parts()
            if p.digest in work_item.parts
        ]

    def next_batch(self) -> list[WorkItem]:
        """The next call: what waits of one group, up to a chunk, shared among idle workers."""
        group = self.stage.group(self.inbox[0].item)
        share = math.ceil(len(self.inbox) / max(1, self.concurrency - self.calls_in_flight))
        call: list[WorkItem] = []
        while (
            self.inbox
            and len(call) < min(self.stage.max_items_per_call, share)
            and self.stage.group(self.inbox[0].item) == group
        ):
            call.append(self.inbox.popleft())
        return call


@dataclass(frozen=True)
class InFlightCall:
    """A call in the air."""

    queue: StageQueue
    work_items: Sequence[WorkItem]
    reservations: Sequence[Reservation | None]
