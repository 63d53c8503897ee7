"""A stage at work: its inbox, what is asked in its name, and the calls in the air."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from brickfilm.engine.ledger import Intent
from brickfilm.engine.pipeline import AnyStage
from brickfilm.engine.stage import Want

Row = tuple[str, str]
"""(part digest, key): one question in the ledger."""

INBOX_CALLS = 4
"""An inbox holds this many rounds of calls before what is above it pauses."""


@dataclass
class StageQueue:
    """A stage at work: what waits for it, and what flies."""

    position: int
    stage: AnyStage
    width: int
    inbox: deque[Want] = field(default_factory=deque)
    claimed: dict[Row, list[Any]] = field(default_factory=dict)
    """Rows being asked, each with the items that wait for the same answer."""
    flying: int = 0
    tries: Counter[Row] = field(default_factory=Counter)

    @property
    def has_room(self) -> bool:
        return len(self.inbox) < INBOX_CALLS * self.width * self.stage.chunk

    def rows(self, want: Want) -> list[Row]:
        """The questions of a want, in the order of the stage's parts."""
        return [(p.digest, p.key(want.item)) for p in self.stage.parts() if p.digest in want.parts]

    def take(self) -> list[Want]:
        """The next call: what waits of one group, up to a chunk, shared among idle workers."""
        group = self.stage.group(self.inbox[0].item)
        share = math.ceil(len(self.inbox) / max(1, self.width - self.flying))
        call: list[Want] = []
        while (
            self.inbox
            and len(call) < min(self.stage.chunk, share)
            and self.stage.group(self.inbox[0].item) == group
        ):
            call.append(self.inbox.popleft())
        return call


@dataclass(frozen=True)
class Flight:
    """A call in the air."""

    queue: StageQueue
    wants: Sequence[Want]
    intents: Sequence[Intent | None]
