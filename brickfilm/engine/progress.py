"""Show a run to people: bars on a terminal, plain lines elsewhere. Always on standard error."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from brickfilm.engine.ledger import ItemResult
from brickfilm.engine.queue import StageQueue
from brickfilm.engine.run import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

PLAIN_LINE_SECONDS = 10.0
BAR_SECONDS = 0.1


@contextmanager
def show_progress() -> Iterator[Progress]:
    """Bars where standard error is a terminal, a line every few seconds where it is not."""
    if not sys.stderr.isatty():
        yield PlainLines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description:>16}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
    )
    with Bars(*columns, console=Console(stderr=True)) as bars:
        yield RichBars(bars)


class StatusCounter:
    """Counts the outcomes of each stage, reading each of them once."""

    def __init__(self) -> None:
        self.counts: dict[int, Counter[str]] = {}
        self._read = 0

    def read(self, item_results: Sequence[ItemResult]) -> None:
        """Count what is new."""
        for outcome in item_results[self._read :]:
            self.counts.setdefault(outcome.position, Counter())[outcome.status] += 1
        self._read = len(item_results)

    def note(self, position: int) -> str:
        """What became of a stage's items, where not all were done."""
        counts = self.counts.get(position, Counter())
        return ", ".join(f"{n} {what}" for what, n in sorted(counts.items()) if what != "done")


class RichBars:
    """A bar a stage: items answered for, of those that have arrived."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[int, TaskID] = {}
        self._counter = StatusCounter()
        self._next = 0.0

    def update(self, queues: Sequence[StageQueue], item_results: Sequence[ItemResult]) -> None:
        """Redraw, ten times a second at most."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + BAR_SECONDS
        self._counter.read(item_results)
        for queue in queues:
            self._redraw(queue)

    def _redraw(self, queue: StageQueue) -> None:
        done = self._counter.counts.get(queue.position, Counter()).total()
        total = done + len(queue.inbox) + len(queue.in_progress)
        if queue.position not in self._tasks:
            self._tasks[queue.position] = self._bars.add_task(queue.stage.name, note="")
        self._bars.update(
            self._tasks[queue.position],
            completed=done,
            total=total or None,
            note=", ".join(status_notes(queue, self._counter)),
        )


class PlainLines:
    """A line every ten seconds, for logs."""

    def __init__(self) -> None:
        self._counter = StatusCounter()
        self._next = time.monotonic() + PLAIN_LINE_SECONDS

    def update(self, queues: Sequence[StageQueue], item_results: Sequence[ItemResult]) -> None:
        """Print where every stage stands, if it is time."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + PLAIN_LINE_SECONDS
        self._counter.read(item_results)
        print("; ".join(self._line(queue) for queue in queues), file=sys.stderr, flush=True)

    def _line(self, queue: StageQueue) -> str:
        done = self._counter.counts.get(queue.position, Counter())["done"]
        note = ", ".join(status_notes(queue, self._counter))
        return f"{queue.stage.name} {done} done" + (f" ({note})" if note else "")


def status_notes(queue: StageQueue, counter: StatusCounter) -> list[str]:
    """What was not done, and what is being done: a film on its way, for one."""
    return [
        note for note in (counter.note(queue.position), *queue.stage.active_downloads()) if note
    ]
