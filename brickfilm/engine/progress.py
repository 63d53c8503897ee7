"""Show the progress of a run on standard error: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from brickfilm.engine.capabilities import SourceOwner
from brickfilm.engine.ledger import ItemResult
from brickfilm.engine.queue import StageQueue

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

PLAIN_LINE_SECONDS = 10.0
BAR_SECONDS = 0.1


class Progress(Protocol):
    """An observer of a run."""

    def update(self, queues: Sequence[StageQueue], item_results: Sequence[ItemResult]) -> None:
        """Look at the run; called after every change, so it must be quick."""


@contextmanager
def show_progress() -> Iterator[Progress]:
    """Yield bars if standard error is a terminal, else a line every few seconds."""
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
    """Counts of item results by stage and status; each result is read once."""

    def __init__(self) -> None:
        self.counts: dict[int, Counter[str]] = {}
        self._read = 0

    def read(self, item_results: Sequence[ItemResult]) -> None:
        """Count the results since the last call."""
        for result in item_results[self._read :]:
            self.counts.setdefault(result.position, Counter())[result.status] += 1
        self._read = len(item_results)

    def note(self, position: int) -> str:
        """Return the counts of a stage's items that are not done, for people."""
        counts = self.counts.get(position, Counter())
        return ", ".join(
            f"{n} {status}" for status, n in sorted(counts.items()) if status != "done"
        )


class RichBars:
    """One bar per stage: items with a result, of those that have arrived."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[int, TaskID] = {}
        self._counter = StatusCounter()
        self._next = 0.0

    def update(self, queues: Sequence[StageQueue], item_results: Sequence[ItemResult]) -> None:
        """Redraw, at most ten times a second."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + BAR_SECONDS
        self._counter.read(item_results)
        for queue in queues:
            self._redraw(queue)

    def _redraw(self, queue: StageQueue) -> None:
        done = self._counter.counts.get(queue.position, Counter()).total()
        total = done + len(list(queue.items()))
        if queue.position not in self._tasks:
            self._tasks[queue.position] = self._bars.add_task(queue.stage.name, note="")
        self._bars.update(
            self._tasks[queue.position],
            completed=done,
            total=total or None,
            note=", ".join(status_notes(queue, self._counter)),
        )


class PlainLines:
    """One line every ten seconds, for logs."""

    def __init__(self) -> None:
        self._counter = StatusCounter()
        self._next = time.monotonic() + PLAIN_LINE_SECONDS

    def update(self, queues: Sequence[StageQueue], item_results: Sequence[ItemResult]) -> None:
        """Print the counts of every stage, if it is time."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + PLAIN_LINE_SECONDS
        self._counter.read(item_results)
        print("; ".join(self._line(queue) for queue in queues), file=sys.stderr, flush=True)

    def _line(self, queue: StageQueue) -> str:
        ended = self._counter.counts.get(queue.position, Counter()).total()
        note = ", ".join(status_notes(queue, self._counter))
        total = ended + len(list(queue.items()))
        return f"{queue.stage.name} {ended} of {total}" + (f" ({note})" if note else "")


def status_notes(queue: StageQueue, counter: StatusCounter) -> list[str]:
    """Return notes about items that are not done and about downloads in progress."""
    stage = queue.stage
    downloads = stage.active_downloads() if isinstance(stage, SourceOwner) else ()
    notes = (counter.note(queue.position), *downloads)
    return [note for note in notes if note]
