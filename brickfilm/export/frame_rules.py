"""Rules by which trainers pick frames of a clip: pure functions that return frame indices.

Each repeats the arithmetic of a trainer, down to its rounding and its single precision, since a
neighbouring frame of stop motion may be another drawing.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np


def first(count: int) -> tuple[int, ...]:
    """Return the first `count` frames."""
    return tuple(range(count))


def linspace_float32(last: int, count: int) -> tuple[int, ...]:
    """Return `count` frames spread evenly from 0 to `last`, as `torch.linspace` truncated to int.

    PyTorch computes the first half from the start and the second half from the end, in float32.
    """
    if count < 2:
        return (0,) * count
    steps = np.arange(count, dtype=np.float32)
    step = np.float32(last) / np.float32(count - 1)
    rising, falling = steps * step, np.float32(last) - steps[::-1] * step
    return _to_ints(np.where(np.arange(count) < count // 2, rising, falling))


def linspace_float64(first_frame: int, last: int, count: int) -> tuple[int, ...]:
    """Return `count` frames spread evenly, as `numpy.linspace(..., dtype=int)`."""
    return _to_ints(np.linspace(first_frame, last, count, dtype=int))


def arange_by_rate(frames: int, step: float) -> tuple[int, ...]:
    """Return frames 0, step, 2 * step ... below `frames`, truncated: `numpy.arange(0, n, step)`."""
    return _to_ints(np.arange(0, frames, step))


def rounded_by_rate(count: int, step: float, last: int) -> tuple[int, ...]:
    """Return `count` frames at i * step, rounded half to even, and never past `last`."""
    return tuple(min(round(i * step), last) for i in range(count))


def rounded_by_time(count: int, target: float, source: float, last: int) -> tuple[int, ...]:
    """Return the frame at each i / target seconds, as `rounded_by_rate` but for halves.

    A time that is divided before it is multiplied may miss an exact half, and is then rounded up.
    """
    return tuple(min(round(i / target * source), last) for i in range(count))


def accepted_by_rate(frames: int, ratio: float) -> tuple[int, ...]:
    """Return the frames whose number at the target rate, int(i * ratio), differs from the last.

    ratio: target rate / source rate, added up in floating point as musubi-tuner does.
    """
    position, previous, accepted = 0.0, -1, []
    for frame in range(frames):
        slot = int(position)
        position += ratio
        if slot != previous:
            accepted.append(frame)
        previous = slot
    return tuple(accepted)


def rate(fps: Fraction | None) -> float:
    """Return a clip's rate as a decoder reports it; an image has none, and counts as 1."""
    return float(fps) if fps else 1.0


def _to_ints(values: np.ndarray) -> tuple[int, ...]:
    return tuple(int(value) for value in values)
