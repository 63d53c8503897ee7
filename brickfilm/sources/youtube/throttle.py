"""Politeness at work: one clock for all threads that fetch."""

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
    """The site turns away all that we ask (not this film alone): nothing more is asked this run."""


class TooManyRequests(BlockedBySite):
    """The site asks for a pause. `retry_after`: the seconds it named, or 0."""

    retry_after: float = 0.0


class Throttle:
    """Who may ask next, and when.

    fetched: films of the last 24 hours, which count towards the daily cap.
    """

    def __init__(
        self,
        rate_limits: RateLimits,
        fetched: int = 0,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._politeness = rate_limits
        self._fetched = fetched
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next = 0.0
        self._consecutive_refusals = 0
        self._blocked_by: BlockedBySite | None = None

    def acquire(self) -> None:
        """Return when it is this thread's turn; raises Waiting where none will come this run."""
        while (delay := self._claim()) > 0:
            self._sleep(delay)

    def reset_backoff(self) -> None:
        """The site let us through: the next pause is a short one again."""
        with self._lock:
            self._consecutive_refusals = 0

    def back_off(self, refusal: TooManyRequests) -> None:
        """Stay away for a while; raises the refusal once every pause has been tried."""
        with self._lock:
            pauses = self._politeness.pauses
            if self._consecutive_refusals >= len(pauses):
                self._blocked_by = refusal
                raise refusal
            pause = max(pauses[self._consecutive_refusals], refusal.retry_after)
            self._consecutive_refusals += 1
            self._fetched -= 1  # that turn brought nothing
            self._next = max(self._next, self._clock() + pause)
        log.warning("%s; pausing for %.0f s, then going on", refusal, pause)

    def block(self, refusal: BlockedBySite) -> None:
        """Ask for nothing more in this run: who is turned away does not keep knocking."""
        with self._lock:
            if self._blocked_by is None:
                log.warning("%s", refusal)
            self._blocked_by = refusal

    def _claim(self) -> float:
        """0 and the turn is taken, or the seconds to wait before trying again."""
        with self._lock:
            if self._blocked_by is not None:
                raise Waiting(str(self._blocked_by), reason=self._blocked_by.reason)
            cap = self._politeness.daily_cap
            if cap is not None and self._fetched >= cap:
                raise Waiting(
                    f"daily_cap={cap} films in 24 hours reached: run the same command tomorrow",
                    reason="daily cap",
                )
            now = self._clock()
            if now < self._next:
                return self._next - now
            self._next = now + random.uniform(*self._politeness.between_films)
            self._fetched += 1
            return 0.0


def call_throttled(request: Callable[[], T], pace: Throttle) -> T:
    """Ask in turn; wait and go on where the site wants a pause, give up where it shuts us out."""
    while True:
        pace.acquire()
        try:
            answer = request()
        except TooManyRequests as refusal:
            pace.back_off(refusal)
        except BlockedBySite as refusal:
            pace.block(refusal)
            raise
        else:
            pace.reset_backoff()
            return answer
