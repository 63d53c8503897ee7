"""Fades to and from black or white: their frames belong to no shot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from brickfilm.detectors.base import Stretch
from brickfilm.scan.analyzer import Floats

GONE = 0.25
"""Share of the contrast nearby below which the picture is called gone."""
WHOLE = 0.95
"""Share from which it is called whole again."""
LONGEST = 2.0
"""Seconds that one side of a fade may take."""
FEWEST = 3
"""Frames a picture takes at least to fade: what goes in fewer was cut."""
STEP = 0.4
"""Share of the whole that contrast may change by from one frame of a fade to the next."""


def fades(contrast: Floats, times: NDArray[np.float64]) -> list[Stretch]:
    """Stretches in which the picture's contrast sinks to nothing, or rises from it."""
    if len(contrast) < FEWEST:
        return []
    reach = _frames(times)
    found: list[Stretch] = []
    for start, end in _runs(contrast < GONE * _highest_near(contrast, reach)):
        before = _rise(contrast[: start + 1][::-1][: reach + 1])
        after = _rise(contrast[end - 1 :][: reach + 1])
        if before or after:
            found.append((start - before, end + after))
    return found


def _frames(times: NDArray[np.float64]) -> int:
    """Frames that the longest side of a fade may take."""
    step = float(np.median(np.abs(np.diff(times))))
    return max(FEWEST, round(LONGEST / step)) if step > 0 else FEWEST


def _highest_near(contrast: Floats, reach: int) -> Floats:
    """The highest contrast within `reach` frames of each."""
    import cv2

    kernel = np.ones((1, 2 * reach + 1), np.uint8)
    return np.asarray(cv2.dilate(contrast[None], kernel)[0], np.float32)


def _rise(side: Floats) -> int:
    """Frames in which contrast climbs from the first to whole, or 0 if it does not, or jumps."""
    whole = WHOLE * float(np.median(side[side >= 2 * GONE * side.max()]))
    top = int(np.argmax(side >= whole))
    climb = side[: top + 1]
    steps = np.diff(climb)
    gradual = top >= FEWEST and steps.max() < STEP * whole and steps.min() > -0.05 * whole
    return top - 1 if gradual else 0


def _runs(flags: NDArray[np.bool_]) -> Iterator[Stretch]:
    """Stretches of true."""
    edges = np.flatnonzero(np.diff(np.r_[False, flags, False].astype(np.int8)))
    return ((int(a), int(b)) for a, b in edges.reshape(-1, 2))


def without(gone: Sequence[Stretch], cuts: Sequence[int], frames: int) -> list[Stretch]:
    """The shots between cuts, less the stretches that belong to none."""
    belongs = np.ones(frames, bool)
    for start, end in gone:
        belongs[max(0, start) : end] = False
    edges = [0, *cuts, frames]
    return [
        (start + a, start + b)
        for start, end in pairwise(edges)
        for a, b in _runs(belongs[start:end])
    ]
