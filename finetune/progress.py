"""Say what a long command does, so that it is never silent for more than half a minute."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Self, TypeVar

T = TypeVar("T")

SILENT_SECONDS = 30.0


class ProgressLines:
    """Print a line to standard error every half minute until the block ends, on rank 0.

    total: of the steps that `advance` counts; 0 if they are not known.
    """

    def __init__(self, what: str, total: int = 0, *, every: float = SILENT_SECONDS) -> None:
        self.what, self.total, self.done = what, total, 0
        self._every, self._begin = every, time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._repeat, daemon=True)

    def __enter__(self) -> Self:
        if os.environ.get("RANK", "0") == "0":
            self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def advance(self) -> None:
        """Count one step."""
        self.done += 1

    def track(self, items: Sequence[T]) -> Iterator[T]:
        """Yield items and count them, and print lines until the last is done."""
        self.total = len(items)
        with self:
            for item in items:
                yield item
                self.advance()

    def _repeat(self) -> None:
        while not self._ended.wait(self._every):
            print(self, file=sys.stderr, flush=True)

    def __str__(self) -> str:
        elapsed = time.monotonic() - self._begin
        if not self.total:
            return f"{self.what}: {format_seconds(elapsed)} so far"
        left = elapsed / self.done * (self.total - self.done) if self.done else None
        left_text = f", {format_seconds(left)} left" if left is not None else ""
        return f"{self.what}: {self.done:,} of {self.total:,}{left_text}"


class Heartbeat:
    """Call a function after each half minute in which `beat` was not called."""

    def __init__(self, silent: Callable[[], None], *, every: float = SILENT_SECONDS) -> None:
        self._silent, self._every = silent, every
        self._beaten, self._ended = threading.Event(), False
        threading.Thread(target=self._repeat, daemon=True).start()

    def beat(self) -> None:
        """Note a sign of life."""
        self._beaten.set()

    def end(self) -> None:
        """Stop calling."""
        self._ended = True
        self._beaten.set()

    def _repeat(self) -> None:
        while not self._ended:
            if self._beaten.wait(self._every):
                self._beaten.clear()
            else:
                self._silent()


def format_seconds(seconds: float) -> str:
    """Return seconds as `45 s`, `12 min` or `3.5 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
