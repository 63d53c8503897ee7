"""Compute timestamps: constant frame rate, and four patterns of variable rate."""

from __future__ import annotations

from fractions import Fraction
from random import Random
from typing import TypeVar

T = TypeVar("T")


def time_base(fps: Fraction, suffix: str) -> Fraction:
    """Seconds a tick. Matroska and WebM know milliseconds; elsewhere a frame is whole ticks."""
    if suffix in (".mkv", ".webm"):
        return Fraction(1, 1000)
    return 1 / (fps.limit_denominator(1001).numerator * Fraction(512 if fps < 100 else 64))


def drop_third(frames: list[T]) -> list[T]:
    """Two of every three frames."""
    return [frame for n, frame in enumerate(frames) if n % 3 != 2]


def shown_at(frames: int, fps: Fraction, vfr: str | None, rng: Random) -> list[Fraction]:
    """The time of every frame in seconds, from 0, strictly rising.

    jitter: each frame up to a quarter of a frame late. half: 12 fps for the first half of the
    frames, 30 after. random-holds: a frame stays for one to four. drop-third: the gap stays.
    """
    one = 1 / fps
    if vfr == "jitter":
        late = [Fraction(0), *(Fraction(rng.randrange(250), 1000) for _ in range(frames - 1))]
        return [(n + late[n]) * one for n in range(frames)]
    if vfr == "drop-third":
        return [(n + n // 2) * one for n in range(frames)]
    if vfr == "half":
        half = frames // 2
        turn = Fraction(half, 12)
        return [
            Fraction(n, 12) if n < half else turn + Fraction(n - half, 30) for n in range(frames)
        ]
    if vfr == "random-holds":
        times = [Fraction(0)]
        while len(times) < frames:
            times.append(times[-1] + rng.randint(1, 4) * one)
        return times
    return [n * one for n in range(frames)]


def ticks(times: list[Fraction], base: Fraction) -> tuple[int, ...]:
    """Times as whole ticks of `base`, rounded half up as muxers do."""
    return tuple(int(time / base + Fraction(1, 2)) for time in times)
