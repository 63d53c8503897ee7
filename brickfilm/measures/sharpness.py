"""Measure the sharpness of a clip."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from brickfilm.media import ReducedFrame
from brickfilm.records import Video
from brickfilm.scan.analyzer import FrameFunction, FrameMetrics, Measure, Scores


@dataclass(frozen=True, kw_only=True)
class Sharpness(Measure):
    """Compute the median of the Laplacian's standard deviation, relative to the luma's.

    Dividing by the frame's contrast keeps dark sets from counting as blurred. Held frames are
    skipped.
    """

    version: ClassVar[int] = 1
    columns: ClassVar[tuple[str, ...]] = ("edges",)
    provides: ClassVar[tuple[str, ...]] = ("sharpness",)

    def begin(self, video: Video) -> FrameFunction:
        import cv2

        def analyze(frame: ReducedFrame) -> Sequence[float]:
            _, contrast = cv2.meanStdDev(frame.luma)
            edges = _deviation(cv2.Laplacian(frame.luma, cv2.CV_16S))
            return (edges / max(float(contrast[0, 0]), 1.0),)

        return analyze

    def summarise(self, metrics: FrameMetrics) -> Scores:
        return {"sharpness": round(float(np.median(metrics.values[metrics.is_unique, 0])), 4)}


def _deviation(values: NDArray[np.int16]) -> float:
    """Return the standard deviation as `cv2.meanStdDev` does, in a fifth of its time."""
    import cv2

    mean = cv2.sumElems(values)[0] / values.size
    square = cv2.norm(values, cv2.NORM_L2SQR) / values.size
    return math.sqrt(max(square - mean * mean, 0.0))
