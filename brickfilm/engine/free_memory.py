"""Return memory that calls no longer use to the system.

Containers of PyAV refer to themselves, so only a garbage collection frees them; glibc keeps what threads
freed in an arena of each thread. Without this a worker grew by 0.2 MB for each clip that it wrote.
"""

from __future__ import annotations

import ctypes
import gc
import threading

SECONDS_BETWEEN = 2.0
"""Time of calls between two collections of a worker, which take about 0.05 s each."""


class FreeMemory:
    """Return free memory after every few seconds of a worker's calls; any thread may call it."""

    def __init__(self, seconds_between: float = SECONDS_BETWEEN) -> None:
        self._seconds_between = seconds_between
        self._seconds = 0.0
        self._lock = threading.Lock()

    def after(self, seconds: float) -> None:
        """Note a call that took `seconds`; collect and return memory if it is time."""
        with self._lock:
            self._seconds += seconds
            is_due = self._seconds >= self._seconds_between
            if is_due:
                self._seconds = 0.0
        if is_due:
            return_free_memory()


def return_free_memory() -> None:
    """Collect garbage, and give free memory back to the system where the C library is glibc."""
    gc.collect()
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, TypeError, OSError):  # another C library, or none
        return
    trim(0)
