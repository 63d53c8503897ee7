"""Learning rates as pure functions of the optimiser step, counted from 0."""

from __future__ import annotations

from math import cos, pi


def cosine_then_constant(step: int, *, start: float, peak: float, warmup: int) -> float:
    """The rate in force at `step`: half a cosine from `start` to `peak`, then `peak` for ever.

    The 64-frame recipe. Its first step has already moved: it counts from `step + 1`.
    """
    if warmup == 0:
        return peak
    return _cosine_between(start, peak, min(step + 1, warmup) / warmup)


def one_cycle(
    step: int, *, start: float, peak: float, final: float, warmup: int, cooldown: int
) -> float:
    """The rate in force at `step`: cosine up to `peak`, cosine down to `final`, then `final`.

    The 32-frame recipe, both stages. `warmup` and `cooldown` are in steps; step 0 has `start`.
    """
    if step <= warmup:
        return _cosine_between(start, peak, step / warmup) if warmup else peak
    done = min((step - warmup) / cooldown, 1.0) if cooldown else 1.0
    return _cosine_between(peak, final, done)


def constant(_step: int, *, peak: float) -> float:
    """`peak`, always."""
    return peak


def _cosine_between(low: float, high: float, done: float) -> float:
    return low + (high - low) * (1 - cos(pi * done)) / 2
