"""Politeness at work: one clock for all threads that fetch."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from brickfilm.errors import Waiting
from brickfilm.sources.youtube.settings import Politeness

log = logging.getLogger(__name__)

T = TypeVar("T")


class Shut(Waiting):
    """The site turns away all that we ask (not this film alone): nothing more is asked this run."""


class TooManyRequests(Shut):
    """The site asks for a pause. `after`: the seconds it named, or 0."""

    after: float = 0.0


class Pace:
    """Who may ask next, and when.

    fetched: films of the last 24 hours, which count towards the daily cap.
    """

    def __init__(
        self,
        politeness: Politeness,
        fetched: int = 0,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._politeness = politeness
        self._fetched = fetched
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next = 0.0
        self._strikes = 0
        self._shut: Shut | None = None

    def turn(self) -> None:
        """Return when it is this thread's turn; raises Waiting where none will come this run."""
        while (delay := self._claim()) > 0:
            self._sleep(delay)

    def went_well(self) -> None:
        """The site let us through: the next pause is a short one again."""
        with self._lock:
            self._strikes = 0

    def slow_down(self, refusal: TooManyRequests) -> None:
        """Stay away for a while; raises the refusal once every pause has been tried."""
        with self._lock:
            pauses = self._politeness.pauses
            if self._strikes >= len(pauses):
                self._shut = refusal
                raise refusal
            pause = max(pauses[self._strikes], refusal.after)
            self._strikes += 1
            self._fetched -= 1  # that turn brought nothing
            self._next = max(self._next, self._clock() + pause)
        log.warning("%s; pausing for %.0f s, then going on", refusal, pause)

    def shut(self, refusal: Shut) -> None:
        """Ask for nothing more in this run: who is turned away does not keep knocking."""
        with self._lock:
            if self._shut is None:
                log.warning("%s", refusal)
            self._shut = refusal

    def _claim(self) -> float:
        """0 and the turn is taken, or the seconds to wait before trying again."""
        with self._lock:
            if self._shut is not None:
                raise Waiting(str(self._shut), reason=self._shut.reason)
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


def patiently(ask: Callable[[], T], pace: Pace) -> T:
    """Ask in turn; wait and go on where the site wants a pause, give up where it shuts us out."""
    while True:
        pace.turn()
        try:
            answer = ask()
        except TooManyRequests as refusal:
            pace.slow_down(refusal)
        except Shut as refusal:
            pace.shut(refusal)
            raise
        else:
            pace.went_well()
            return answer
