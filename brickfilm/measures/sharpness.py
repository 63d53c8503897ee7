"""Measure the sharpness of a clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

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
            _, edges = cv2.meanStdDev(cv2.Laplacian(frame.luma, cv2.CV_16S))
            return (float(edges[0, 0] / max(contrast[0, 0], 1.0)),)

        return analyze

    def summarise(self, metrics: FrameMetrics) -> Scores:
        return {"sharpness": round(float(np.median(metrics.values[metrics.is_unique, 0])), 4)}
