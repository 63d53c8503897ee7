"""Tell unique frames from held ones, which repeat the frame before.

Held frames differ by coding noise: not at all in some videos, by more than a small movement in
others. So the threshold is estimated for each video from all of its frame differences.
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
"""Halvings of the difference image, to blocks of 8 x 8 pixels: a moving hand fills one."""
MIN_CLUSTER_SHARE = 0.04
"""Share of a video's frames that must lie on either side of the threshold."""
VALLEY_WIDTH_RATIO = 1.55
"""Ratio of the valley's upper to its lower edge: smallest unique to largest held difference."""
MAX_VALLEY_SHARE = 0.1
"""Frames in the valley, relative to its smaller side, above which it is none."""
RATIO_OFFSET = 2.0
"""Levels added before taking ratios: differences of 0 and 1 are equally small."""
THRESHOLD_RANGE = (0.5, 40.0)
"""Levels between which the threshold is searched: rounding, and more than coding noise."""


@dataclass(frozen=True, kw_only=True)
class FrameDifference(FrameAnalyzer):
    """Measure the difference from the frame before: its mean, and the largest block's."""

    columns = ("mean", "peak")

    def begin(self, video: Video) -> FrameFunction:
        import cv2

        previous: NDArray[np.uint8] | None = None

        def analyze(frame: ReducedFrame) -> Sequence[float]:
            nonlocal previous
            last, previous = previous, frame.luma
            if last is None or last.shape != frame.luma.shape:
                return 255.0, 255.0
            change = cv2.absdiff(frame.luma, last)
            return float(cv2.mean(change)[0]), float(downscale_by_2(change, DOWNSCALE_STEPS).max())

        return analyze


def find_unique_frames(differences: FloatArray) -> NDArray[np.bool_]:
    """Return True for unique frames, [n], from a whole video's `FrameDifference`, [n, 2]."""
    peaks = differences[:, 1]
    is_unique: NDArray[np.bool_] = peaks > held_frame_threshold(peaks[1:])
    is_unique[:1] = True
    return is_unique


def held_frame_threshold(peaks: NDArray[np.float32]) -> float:
    """Return the difference that separates held from unique frames in one video, in levels.

    It is the middle of the emptiest valley in the histogram of differences, on a logarithmic scale.
    Without a valley it is the lower bound: no frame is held unless it is equal.
    """
    if not len(peaks):
        return THRESHOLD_RANGE[0]
    values = np.sort(peaks.astype(np.float64)) + RATIO_OFFSET
    middles = np.geomspace(THRESHOLD_RANGE[0] + RATIO_OFFSET, THRESHOLD_RANGE[1] + RATIO_OFFSET, 60)
    edge = np.sqrt(VALLEY_WIDTH_RATIO)
    below = np.searchsorted(values, middles / edge, side="right")
    above = len(values) - np.searchsorted(values, middles * edge, side="left")
    inside = len(values) - below - above
    smaller = np.minimum(below, above)
    has_clusters = smaller >= MIN_CLUSTER_SHARE * len(values)
    is_valley = has_clusters & (inside <= MAX_VALLEY_SHARE * smaller)
    if not is_valley.any():
        return THRESHOLD_RANGE[0]
    emptiest = middles[is_valley & (inside == inside[is_valley].min())]
    return float(np.median(emptiest)) - RATIO_OFFSET
