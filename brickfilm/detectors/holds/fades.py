"""Fades to and from black or white: their frames belong to no shot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from brickfilm.detectors.base import FrameRange
from brickfilm.scan.analyzer import FloatArray

FADED_CONTRAST_RATIO = 0.25
"""Share of the contrast nearby below which the picture is called gone."""
FULL_CONTRAST_RATIO = 0.95
"""Share from which it is called whole again."""
MAX_FADE_SECONDS = 2.0
"""Seconds that one side of a fade may take."""
MIN_FADE_FRAMES = 3
"""Frames a picture takes at least to fade: what goes in fewer was cut."""
MAX_CONTRAST_STEP_RATIO = 0.4
"""Share of the whole that contrast may change by from one frame of a fade to the next."""


def find_fades(contrast: FloatArray, times: NDArray[np.float64]) -> list[FrameRange]:
    """Stretches in which the picture's contrast sinks to nothing, or rises from it."""
    if len(contrast) < MIN_FADE_FRAMES:
        return []
    reach = _max_fade_frames(times)
    found: list[FrameRange] = []
    for start, end in _true_runs(
        contrast < FADED_CONTRAST_RATIO * _local_max_contrast(contrast, reach)
    ):
        before = _fade_length(contrast[: start + 1][::-1][: reach + 1])
        after = _fade_length(contrast[end - 1 :][: reach + 1])
        if before or after:
            found.append((start - before, end + after))
    return found


def _max_fade_frames(times: NDArray[np.float64]) -> int:
    """Frames that the longest side of a fade may take."""
    step = float(np.median(np.abs(np.diff(times))))
    return max(MIN_FADE_FRAMES, round(MAX_FADE_SECONDS / step)) if step > 0 else MIN_FADE_FRAMES


def _local_max_contrast(contrast: FloatArray, reach: int) -> FloatArray:
    """The highest contrast within `reach` frames of each."""
    import cv2

    kernel = np.ones((1, 2 * reach + 1), np.uint8)
    return np.asarray(cv2.dilate(contrast[None], kernel)[0], np.float32)


def _fade_length(side: FloatArray) -> int:
    """Frames in which contrast climbs from the first to whole, or 0 if it does not, or jumps."""
    whole = FULL_CONTRAST_RATIO * float(
        np.median(side[side >= 2 * FADED_CONTRAST_RATIO * side.max()])
    )
    top = int(np.argmax(side >= whole))
    climb = side[: top + 1]
    steps = np.diff(climb)
    gradual = (
        top >= MIN_FADE_FRAMES
        and steps.max() < MAX_CONTRAST_STEP_RATIO * whole
        and steps.min() > -0.05 * whole
    )
    return top - 1 if gradual else 0


def _true_runs(flags: NDArray[np.bool_]) -> Iterator[FrameRange]:
    """Stretches of true."""
    edges = np.flatnonzero(np.diff(np.r_[False, flags, False].astype(np.int8)))
    return ((int(a), int(b)) for a, b in edges.reshape(-1, 2))


def shots_without_transitions(
    gone: Sequence[FrameRange], cuts: Sequence[int], frames: int
) -> list[FrameRange]:
    """The shots between cuts, less the stretches that belong to none."""
    belongs = np.ones(frames, bool)
    for start, end in gone:
        belongs[max(0, start) : end] = False
    edges = [0, *cuts, frames]
    return [
        (start + a, start + b)
        for start, end in pairwise(edges)
        for a, b in _true_runs(belongs[start:end])
    ]
