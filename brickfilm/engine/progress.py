"""Show the progress of a run on standard error: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from brickfilm.engine.calls import parts_of
from brickfilm.engine.capabilities import SourceOwner
from brickfilm.engine.ledger import ItemResult
from brickfilm.engine.queue import StageQueue
from brickfilm.engine.stage_counts import StageCount, StatusCounter, TimeLeft
from brickfilm.schema.public_text import visible

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
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description:>16}"),
        BarColumn(),
        TextColumn("{task.fields[count]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Bars(*columns, console=Console(stderr=True)) as bars:
        yield RichBars(bars)


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
        for queue, count in _computing(queues, self._counter.read(queues, item_results)):
            self._redraw(queue, count)

    def _redraw(self, queue: StageQueue, count: StageCount) -> None:
        if queue.position not in self._tasks:
            self._tasks[queue.position] = self._bars.add_task(queue.stage.name, note="", count="")
        self._bars.update(
            self._tasks[queue.position],
            completed=count.done,
            total=None if count.mark == "+" else count.total or None,
            count=str(count),
            note=", ".join(status_notes(queue, self._counter)),
        )


class PlainLines:
    """One line every ten seconds, for logs."""

    def __init__(self) -> None:
        self._counter = StatusCounter()
        self._time_left = TimeLeft()
        self._next = time.monotonic() + PLAIN_LINE_SECONDS

    def update(self, queues: Sequence[StageQueue], item_results: Sequence[ItemResult]) -> None:
        """Print the counts of every stage and the time left, if it is time."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + PLAIN_LINE_SECONDS
        counts = self._counter.read(queues, item_results)
        lines = [self._line(queue, count) for queue, count in _computing(queues, counts)]
        left = self._time_left.read(now, counts)
        print("; ".join(filter(None, [*lines, left])), file=sys.stderr, flush=True)

    def _line(self, queue: StageQueue, count: StageCount) -> str:
        note = ", ".join(status_notes(queue, self._counter))
        return f"{queue.stage.name} {count}" + (f" ({note})" if note else "")


def _computing(
    queues: Sequence[StageQueue], counts: Sequence[StageCount]
) -> Iterator[tuple[StageQueue, StageCount]]:
    """Yield the stages that compute: the others, such as `Keep`, are done as items reach them."""
    for queue, count in zip(queues, counts, strict=True):
        if parts_of(queue.stage):
            yield queue, count


def status_notes(queue: StageQueue, counter: StatusCounter) -> list[str]:
    """Return notes about items that are not done and about downloads in progress."""
    stage = queue.stage
    downloads = stage.active_downloads() if isinstance(stage, SourceOwner) else ()
    notes = (counter.note(queue.position), *map(visible, downloads))
    return [note for note in notes if note]
