"""Measure how bright a clip is, and its contrast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from brickfilm.media import ReducedFrame
from brickfilm.records import Video
from brickfilm.scan.analyzer import FrameFunction, FrameMetrics, Measure, Scores

BLACK, LIMITED_LEVELS = 16, 219
"""Black, and the levels up to white, of luma in limited range (ITU-R BT.709)."""


@dataclass(frozen=True, kw_only=True)
class Exposure(Measure):
    """Compute the median mean and standard deviation of the luma, 0 (black) to 255 (white).

    Luma of limited range is stretched, so that thresholds for RGB pictures apply. Held frames are
    skipped.
    """

    version: ClassVar[int] = 1
    columns: ClassVar[tuple[str, ...]] = ("mean", "deviation")
    provides: ClassVar[tuple[str, ...]] = ("brightness", "contrast")

    def begin(self, video: Video) -> FrameFunction:
        import cv2

        def analyze(frame: ReducedFrame) -> Sequence[float]:
            mean, deviation = cv2.meanStdDev(frame.luma)
            black, scale = (0, 1.0) if frame.is_full_range else (BLACK, 255 / LIMITED_LEVELS)
            return float(mean[0, 0] - black) * scale, float(deviation[0, 0]) * scale

        return analyze

    def summarise(self, metrics: FrameMetrics) -> Scores:
        mean, deviation = np.median(metrics.values[metrics.is_unique], axis=0)
        return {
            "brightness": round(min(max(float(mean), 0.0), 255.0), 2),
            "contrast": round(float(deviation), 2),
        }
