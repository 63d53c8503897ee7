"""Count the items of each stage in a pass, and estimate how many are still to come."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass

from brickfilm.engine.ledger import ItemResult
from brickfilm.engine.queue import StageQueue

RATE_LINES = 6
"""Readings that the speed is taken from: the last minute of plain lines."""
MINUTE, HOUR = 60, 3600


@dataclass(frozen=True)
class StageCount:
    """Items of a stage that have a result, of how many."""

    done: int
    total: int
    mark: str = ""
    """'' for an exact total, '~' for an estimate, '+' for a minimum: more may come."""

    def __str__(self) -> str:
        if self.mark == "+" and not self.total:
            return "0 of ?"
        estimated, more = (self.mark if self.mark == m else "" for m in "~+")
        return f"{self.done:,} of {estimated}{self.total:,}{more}"

    @property
    def is_complete(self) -> bool:
        return not self.mark and self.done == self.total


class StatusCounter:
    """Counts of the item results of a pass; each result is read once."""

    def __init__(self) -> None:
        self._results: Sequence[ItemResult] = ()
        self._start()

    def _start(self) -> None:
        self._read = 0
        self._done: Counter[int] = Counter()
        self._statuses: dict[int, Counter[str]] = {}

    def read(self, queues: Sequence[StageQueue], results: Sequence[ItemResult]) -> list[StageCount]:
        """Count the results since the last call; return a count for each stage.

        Results of another pass start anew.
        """
        if results is not self._results:
            self._results = results
            self._start()
        for result in results[self._read :]:
            self._statuses.setdefault(result.position, Counter())[result.status] += 1
            self._done[result.position] += queues[result.position].counts(result)
        self._read = len(results)
        counts: list[StageCount] = []
        for queue in queues:
            counts.append(_stage_count(queue, self._done[queue.position], counts))
        return counts

    def note(self, position: int) -> str:
        """Return the counts of a stage's results that are not done, for people."""
        counts = self._statuses.get(position, Counter())
        return ", ".join(
            f"{n:,} {status}" for status, n in sorted(counts.items()) if status != "done"
        )


def _stage_count(queue: StageQueue, done: int, before: Sequence[StageCount]) -> StageCount:
    """Return a stage's count; its total grows with those of the stages before it."""
    arrived = done + queue.num_items
    if not before:
        unlisted = queue.unlisted
        return StageCount(done, arrived + (unlisted or 0), "+" if unlisted is None else "")
    if all(count.is_complete for count in before):
        return StageCount(done, arrived)
    feeder = next((count for count in reversed(before) if count.total), before[0])
    if feeder.mark == "+" or not (feeder.done and arrived):
        return StageCount(done, arrived, "+")
    return StageCount(done, max(arrived, round(arrived * feeder.total / feeder.done)), "~")


class TimeLeft:
    """Estimate the time that a pass still takes, from the speeds of its stages of late."""

    def __init__(self) -> None:
        self._readings: deque[tuple[float, list[StageCount]]] = deque(maxlen=RATE_LINES)

    def read(self, now: float, counts: list[StageCount]) -> str:
        """Return 'about 12 min left'; '' if a total is unknown or a stage with work stands still.

        now: seconds of a monotonic clock.
        """
        then, before = self._readings[0] if self._readings else (now, counts)
        if any(count.done < earlier.done for count, earlier in zip(counts, before, strict=True)):
            self._readings.clear()  # another pass
        self._readings.append((now, counts))
        seconds = 0.0
        for count, earlier in zip(counts, before, strict=True):
            left, made = count.total - count.done, count.done - earlier.done
            if count.mark == "+" or (left and made <= 0):
                return ""
            seconds = max(seconds, left * (now - then) / made if left else 0.0)
        return f"{format_time(seconds)} left" if seconds else ""


def format_time(seconds: float) -> str:
    """Format a duration roughly: 'less than a minute', 'about 12 min', 'about 3.5 h'."""
    if seconds < MINUTE:
        return "less than a minute"
    if seconds < 2 * HOUR:
        return f"about {round(seconds / MINUTE)} min"
    return f"about {seconds / HOUR:.1f} h"
