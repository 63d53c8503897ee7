"""Find fades to and from black or white, by the frames' contrast."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from brickfilm.detectors.base import shots_from_cuts
from brickfilm.scan.analyzer import FloatArray
from brickfilm.scan.frame_ranges import FrameRange, ranges_where, ranges_without

FADED_CONTRAST_RATIO = 0.25
"""Contrast, relative to the local maximum, below which a frame is faded out."""
FULL_CONTRAST_RATIO = 0.95
"""Relative contrast from which a frame is fully visible."""
MAX_FADE_SECONDS = 2.0
"""Longest fade-out or fade-in: longer changes are lighting."""
MIN_FADE_FRAMES = 3
"""Shortest fade-out or fade-in: faster changes are cuts."""
MAX_CONTRAST_STEP_RATIO = 0.4
"""Largest rise from frame to frame, relative to full contrast: a larger one is a cut."""
MAX_CONTRAST_DIP_RATIO = 0.05
"""Largest fall from frame to frame during a fade-in: noise and movement."""


def find_fades(contrast: FloatArray, times: NDArray[np.float64]) -> list[FrameRange]:
    """Return the frame ranges in which contrast falls to nothing or rises from it gradually."""
    if len(contrast) < MIN_FADE_FRAMES:
        return []
    reach = _max_fade_frames(times)
    faded = contrast < FADED_CONTRAST_RATIO * _local_max_contrast(contrast, reach)
    fades: list[FrameRange] = []
    for start, end in ranges_where(faded):
        before = _fade_length(contrast[: start + 1][::-1][: reach + 1])
        after = _fade_length(contrast[end - 1 :][: reach + 1])
        if before or after:
            fades.append((start - before, end + after))
    return fades


def _max_fade_frames(times: NDArray[np.float64]) -> int:
    """Return MAX_FADE_SECONDS in frames, at the median frame duration."""
    step = float(np.median(np.abs(np.diff(times))))
    return max(MIN_FADE_FRAMES, round(MAX_FADE_SECONDS / step)) if step > 0 else MIN_FADE_FRAMES


def _local_max_contrast(contrast: FloatArray, reach: int) -> FloatArray:
    """Return the highest contrast within `reach` frames of each frame."""
    import cv2

    kernel = np.ones((1, 2 * reach + 1), np.uint8)
    return np.asarray(cv2.dilate(contrast[None], kernel)[0], np.float32)


def _fade_length(side: FloatArray) -> int:
    """Return the frames in which contrast rises to full; 0 if it does not, or not gradually."""
    visible = side[side >= 2 * FADED_CONTRAST_RATIO * side.max()]
    full = FULL_CONTRAST_RATIO * float(np.median(visible))
    length = int(np.argmax(side >= full))
    steps = np.diff(side[: length + 1])
    is_gradual = (
        length >= MIN_FADE_FRAMES
        and steps.max() < MAX_CONTRAST_STEP_RATIO * full
        and steps.min() > -MAX_CONTRAST_DIP_RATIO * full
    )
    return length - 1 if is_gradual else 0


def shots_without_transitions(
    transitions: Sequence[FrameRange], cuts: Sequence[int], frames: int
) -> list[FrameRange]:
    """Return the shots between cuts, without the frames of transitions."""
    return ranges_without(shots_from_cuts(cuts, frames), transitions, frames)
