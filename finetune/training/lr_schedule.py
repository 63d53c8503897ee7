"""Learning rates as pure functions of the optimizer step, counted from 0."""

from __future__ import annotations

from math import cos, pi

from finetune.config import Schedule


def learning_rate(schedule: Schedule, step: int) -> float:
    """Return the learning rate of a step of this stage."""
    n, s = step + schedule.offset, schedule
    if s.kind == "cosine_then_constant":
        return cosine_then_constant(n, start=s.start, peak=s.peak, warmup=s.warmup)
    if s.kind == "one_cycle":
        return one_cycle(
            n, start=s.start, peak=s.peak, final=s.final, warmup=s.warmup, cooldown=s.cooldown
        )
    return s.peak


def cosine_then_constant(step: int, *, start: float, peak: float, warmup: int) -> float:
    """Return half a cosine from `start` to `peak` over `warmup` steps, then `peak`.

    The schedule of the 64-frame recipe. Step 0 is already above `start`: it counts from `step + 1`.
    """
    if warmup == 0:
        return peak
    return _cosine_between(start, peak, min(step + 1, warmup) / warmup)


def one_cycle(
    step: int, *, start: float, peak: float, final: float, warmup: int, cooldown: int
) -> float:
    """Return a cosine up to `peak`, a cosine down to `final`, then `final`.

    The schedule of both stages of the 32-frame recipe. `warmup` and `cooldown` are in steps; step 0
    has `start`.
    """
    if step <= warmup:
        return _cosine_between(start, peak, step / warmup) if warmup else peak
    done = min((step - warmup) / cooldown, 1.0) if cooldown else 1.0
    return _cosine_between(peak, final, done)


def _cosine_between(low: float, high: float, done: float) -> float:
    return low + (high - low) * (1 - cos(pi * done)) / 2
