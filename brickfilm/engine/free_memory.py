"""Return memory that calls no longer use to the system.

Containers of PyAV refer to themselves, so only a garbage collection frees them; glibc keeps what
threads freed in an arena of each thread. Without this a worker grew by 0.3 MB with each clip.
Nearly all of it is young, so collections of young objects suffice between those of all, which take
the longer the more records there are.
"""

from __future__ import annotations

import ctypes
import gc
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

SECONDS_BETWEEN = 2.0
"""Time of calls between two collections of a worker's young objects, which take milliseconds."""
MAX_SHARE = 0.03
"""Of a worker's time for collections of all objects: 0.05 s each in a process with few."""
YOUNG, ALL = 1, 2
"""Generations of `gc`."""

RARE_COLLECTIONS = 50_000, 20, 100
"""Thresholds of `gc`, by default 700, 10, 10: with those a tenth to a fifth of a pass is spent."""


class FreeMemory:
    """Return free memory after every few seconds of a worker's calls; any thread may call it."""

    def __init__(self, seconds_between: float = SECONDS_BETWEEN) -> None:
        self._seconds_between = seconds_between
        self._due_in = self._all_due_in = seconds_between
        self._lock = threading.Lock()

    def after(self, seconds: float) -> None:
        """Note a call that took `seconds`; collect and return memory if it is time."""
        with self._lock:
            self._due_in -= seconds
            self._all_due_in -= seconds
            if self._due_in > 0:
                return
            self._due_in = self._seconds_between
            if self._all_due_in > 0:
                return_free_memory(YOUNG)
                return
            start = time.perf_counter()
            return_free_memory()
            taken = time.perf_counter() - start
            self._all_due_in = max(self._seconds_between, taken / MAX_SHARE)


def return_free_memory(generation: int = ALL) -> None:
    """Collect garbage, and give free memory back to the system where the C library is glibc."""
    gc.collect(generation)
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, TypeError, OSError):  # another C library, or none
        return
    trim(0)


@contextmanager
def rare_collections() -> Iterator[None]:
    """Collect garbage rarely while records are made by the million: none refers to itself."""
    before = gc.get_threshold()
    gc.set_threshold(*RARE_COLLECTIONS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
