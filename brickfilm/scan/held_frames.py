"""Which frames of a film are new drawings, and which are the one before it, held.

A held frame differs from the one before it by what the codec makes of the same picture: by nothing
in some films, by more than a small movement in others. So the border between the two is estimated
for each film from all of its differences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brickfilm.media import ReducedFrame, downscale_by_2
from brickfilm.records import Video
from brickfilm.scan.analyzer import FloatArray, FrameAnalyzer, FrameFunction

DOWNSCALE_STEPS = 3
"""Of the reduced frame, to blocks of 8 by 8 pixels: a moving hand fills one."""
MIN_CLUSTER_SHARE = 0.04
"""Of a film's frames, that must lie on either side of the border."""
VALLEY_WIDTH_RATIO = 1.55
"""Ratio of the valley's upper edge to its lower one: from least new to largest held."""
MAX_VALLEY_SHARE = 0.1
"""Frames in the valley, as a share of those on its lesser side, above which there is no valley."""
RATIO_OFFSET = 2.0
"""Levels added before taking ratios: 0 and 1 are the same nothing."""
THRESHOLD_RANGE = (0.5, 40.0)
"""Levels between which the border is sought: rounding, and more than any codec's noise."""


@dataclass(frozen=True, kw_only=True)
class FrameDifference(FrameAnalyzer):
    """How far each frame is from the one before: on average, and in the block that moves most."""

    columns = ("mean", "peak")

    def begin(self, video: Video) -> FrameFunction:
        import cv2

        before: NDArray[np.uint8] | None = None

        def analyze(frame: ReducedFrame) -> Sequence[float]:
            nonlocal before
            luma, last, before = frame.luma, before, frame.luma
            if last is None or last.shape != luma.shape:
                return 255.0, 255.0
            moved = cv2.absdiff(luma, last)
            return float(cv2.mean(moved)[0]), float(downscale_by_2(moved, DOWNSCALE_STEPS).max())

        return analyze


def find_unique_frames(rows: FloatArray) -> NDArray[np.bool_]:
    """Which frames are new, from `FrameDifference` rows of a whole film: [n] bool. The first one is."""
    new: NDArray[np.bool_] = rows[:, 1] > held_frame_threshold(rows[1:, 1])
    new[:1] = True
    return new


def held_frame_threshold(peaks: NDArray[np.float32]) -> float:
    """The difference that parts held frames from new drawings in one film.

    It lies in the emptiest valley between the film's differences, on a scale of ratios, that has a
    share of them on either side. Where there is none nothing is held, and any difference is new.
    """
    if not len(peaks):
        return THRESHOLD_RANGE[0]
    values = np.sort(peaks.astype(np.float64)) + RATIO_OFFSET
    middles = np.geomspace(THRESHOLD_RANGE[0] + RATIO_OFFSET, THRESHOLD_RANGE[1] + RATIO_OFFSET, 60)
    edge = np.sqrt(VALLEY_WIDTH_RATIO)
    below = np.searchsorted(values, middles / edge, side="right")
    above = len(values) - np.searchsorted(values, middles * edge, side="left")
    inside = len(values) - below - above
    lesser = np.minimum(below, above)
    valley = (lesser >= MIN_CLUSTER_SHARE * len(values)) & (inside <= MAX_VALLEY_SHARE * lesser)
    if not valley.any():
        return THRESHOLD_RANGE[0]
    emptiest = middles[valley & (inside == inside[valley].min())]
    return float(np.median(emptiest)) - RATIO_OFFSET
