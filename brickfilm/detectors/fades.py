"""Fades to and from black or white: their frames belong to no shot."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from brickfilm.detectors.base import Stretch
from brickfilm.observe import Floats

GONE = 0.25
"""Share of a shot's contrast below which the picture is called gone."""
WHOLE = 0.95
"""Share from which it is called whole again."""
LONGEST = 2.0
"""Seconds that one side of a fade may take."""
FEWEST = 3
"""Frames a picture takes at least to fade: what goes in fewer was cut."""


def fades(light: Floats, contrast: Floats, times: NDArray[np.float64]) -> list[Stretch]:
    """Stretches in which the picture's contrast sinks to nothing, or rises from it."""
    found: list[Stretch] = []
    n = 0
    while n < len(contrast):
        if not _is_gone(contrast, times, n):
            n += 1
            continue
        end = n
        while end < len(contrast) and _is_gone(contrast, times, end):
            end += 1
        start, stop = _slope(contrast, times, n, -1), _slope(contrast, times, end - 1, 1) + 1
        if n - start >= FEWEST or stop - end >= FEWEST:
            found.append((start, stop))
        n = max(end, stop)
    return found


def _is_gone(contrast: Floats, times: NDArray[np.float64], n: int) -> bool:
    near = slice(*np.searchsorted(times, (times[n] - LONGEST, times[n] + LONGEST)))
    return bool(contrast[n] < GONE * contrast[near].max(initial=1.0))


def _slope(contrast: Floats, times: NDArray[np.float64], n: int, step: int) -> int:
    """The last frame of the slope that leaves frame n in one direction.

    The slope ends where contrast no longer rises, or where it is whole.
    """
    near = np.flatnonzero(np.abs(times - times[n]) <= LONGEST)
    side = contrast[near[0] : n + 1] if step < 0 else contrast[n : near[-1] + 1]
    whole = WHOLE * float(np.median(side[side > GONE * side.max()]))
    while 0 <= n + step < len(contrast):
        rises = contrast[n + step] >= 0.98 * contrast[n]
        jumps = contrast[n + step] > contrast[n] + 0.6 * whole
        if contrast[n] >= whole or not rises or jumps:
            break
        n += step
    return n


def without(gone: Sequence[Stretch], cuts: Sequence[int], frames: int) -> list[Stretch]:
    """The shots between cuts, less the stretches that belong to none."""
    belongs = np.ones(frames, bool)
    for start, end in gone:
        belongs[start:end] = False
    shots: list[Stretch] = []
    edges = [0, *cuts, frames]
    for start, end in pairwise(edges):
        runs = np.flatnonzero(np.diff(np.r_[False, belongs[start:end], False].astype(np.int8)))
        shots += [(start + int(a), start + int(b)) for a, b in runs.reshape(-1, 2)]
    return shots
