"""A clock that moves only when somebody sleeps."""

from __future__ import annotations


class FakeClock:
    """Seconds since an arbitrary start, and every sleep in order."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.sleeps: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds
