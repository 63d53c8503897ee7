"""Stop sending requests to a service that has stopped giving usable answers."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from brickfilm.errors import Failed, ItemError

T = TypeVar("T")
log = logging.getLogger("brickfilm.captions")


@dataclass
class FailureLimit:
    """Count failures of one kind in a row, over all threads; at the limit, send nothing more.

    Requests that were in flight at the first failure do not count: they were sent before anything
    could be learned from it.
    """

    limit: int
    advice: str
    """Settings to try, for the message."""
    _reason: str = ""
    _in_a_row: int = 0
    _started: int = 0
    _counted_from: int = 0
    _stopped: Failed | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def call(self, request: Callable[[], T]) -> T:
        """Send a request; raise Failed instead once the limit is reached."""
        with self._lock:
            if self._stopped:
                raise self._stopped
            self._started += 1
            number = self._started
        try:
            result = request()
        except ItemError as error:
            self._count(error, number)
            raise
        with self._lock:
            self._in_a_row = 0
        return result

    def _count(self, error: ItemError, number: int) -> None:
        with self._lock:
            if self._in_a_row == 0 or error.reason != self._reason:
                self._reason, self._in_a_row, self._counted_from = error.reason, 1, self._started
            elif number > self._counted_from:
                self._in_a_row += 1
            if self._in_a_row < self.limit or self._stopped:
                return
            message = (
                f"{self.limit} requests in a row failed ({error.reason}): no more are sent in this "
                f"run. The last one: {error}. {self.advice}"
            )
            self._stopped = Failed(f"not sent: {message}", reason=error.reason)
        log.error("%s", message)
