"""Throttle the requests of all download threads together."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from brickfilm.errors import Waiting
from brickfilm.sources.youtube.settings import RateLimits

log = logging.getLogger(__name__)

T = TypeVar("T")


class BlockedBySite(Waiting):
    """The site refuses every request, not only this one: no more are sent in this run."""


class TooManyRequests(BlockedBySite):
    """The site asks for a pause (HTTP 429). `retry_after`: the seconds that it names, or 0."""

    retry_after: float = 0.0


class Throttle:
    """Space out downloads, back off when the site asks for it, and stop at the daily cap.

    fetched: downloads of the last 24 hours, which count towards the daily cap.
    """

    def __init__(
        self,
        rate_limits: RateLimits,
        fetched: int = 0,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._limits = rate_limits
        self._fetched = fetched
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next = 0.0
        self._consecutive_refusals = 0
        self._blocked_by: BlockedBySite | None = None

    def acquire(self) -> None:
        """Block until this thread may send a request; Waiting if it may not in this run."""
        while (delay := self._claim()) > 0:
            self._sleep(delay)

    def reset_backoff(self) -> None:
        """Begin with the shortest pause again, after a successful request."""
        with self._lock:
            self._consecutive_refusals = 0

    def back_off(self, refusal: TooManyRequests) -> None:
        """Pause all threads, longer each time in a row; raise the refusal after the last pause."""
        with self._lock:
            pauses = self._limits.pauses
            if self._consecutive_refusals >= len(pauses):
                self._blocked_by = refusal
                raise refusal
            pause = max(pauses[self._consecutive_refusals], refusal.retry_after)
            self._consecutive_refusals += 1
            self._fetched -= 1  # nothing was downloaded
            self._next = max(self._next, self._clock() + pause)
        log.warning("%s; pausing for %.0f s", refusal, pause)

    def block(self, refusal: BlockedBySite) -> None:
        """Send no more requests in this run."""
        with self._lock:
            if self._blocked_by is None:
                log.warning("%s", refusal)
            self._blocked_by = refusal

    def _claim(self) -> float:
        """Return 0 and count a download, or the seconds to wait before the next call."""
        with self._lock:
            if self._blocked_by is not None:
                raise Waiting(str(self._blocked_by), reason=self._blocked_by.reason)
            cap = self._limits.daily_cap
            if cap is not None and self._fetched >= cap:
                raise Waiting(
                    f"daily_cap={cap} videos in 24 hours reached: run the same command tomorrow",
                    reason="daily cap",
                )
            now = self._clock()
            if now < self._next:
                return self._next - now
            self._next = now + random.uniform(*self._limits.between_videos)
            self._fetched += 1
            return 0.0


def call_throttled(request: Callable[[], T], throttle: Throttle) -> T:
    """Call when the throttle allows it, again after each pause; raise BlockedBySite if blocked."""
    while True:
        throttle.acquire()
        try:
            answer = request()
        except TooManyRequests as refusal:
            throttle.back_off(refusal)
        except BlockedBySite as refusal:
            throttle.block(refusal)
            raise
        else:
            throttle.reset_backoff()
            return answer
