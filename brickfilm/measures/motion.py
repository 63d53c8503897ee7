"""Measure how much moves in a clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from brickfilm.media import ReducedFrame
from brickfilm.records import Video
from brickfilm.scan.analyzer import FrameFunction, FrameMetrics, Measure, Scores

MIN_FLOW_SIDE = 32
"""Pixels a side that OpenCV's flow needs: with wide pictures of fewer lines it crashes."""
FLOW_QUANTILE = 0.9
"""Quantile of the flow over the picture: a figure that moves fills a tenth of it."""


def _pad_for_flow(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Large enough for the flow, its last line and column repeated."""
    import cv2

    below, beside = (max(0, MIN_FLOW_SIDE - side) for side in image.shape)
    if not below and not beside:
        return image
    return np.asarray(cv2.copyMakeBorder(image, 0, below, 0, beside, cv2.BORDER_REPLICATE))


@dataclass(frozen=True, kw_only=True)
class Motion(Measure):
    """Median optical flow from drawing to drawing, in frame heights per second.

    Held frames are skipped: on threes, two of three differences are noise and would halve the
    answer. Of each pair of drawings it is the flow that nine tenths of the picture stay below.
    """

    version: ClassVar[int] = 1
    columns: ClassVar[tuple[str, ...]] = ("flow",)
    provides: ClassVar[tuple[str, ...]] = ("motion",)

    def begin(self, video: Video) -> FrameFunction:
        import cv2

        flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        before: NDArray[np.uint8] | None = None

        def analyze(frame: ReducedFrame) -> Sequence[float]:
            nonlocal before
            height, width = frame.luma.shape
            small = cv2.resize(frame.luma, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
            last, before = before, small
            if last is None or last.shape != small.shape or np.array_equal(last, small):
                return (0.0,)
            moved = flow.calc(_pad_for_flow(last), _pad_for_flow(small), None)
            speed = cv2.magnitude(moved[..., 0], moved[..., 1])[: height // 2, : width // 2]
            return (float(np.quantile(speed[::2, ::2], FLOW_QUANTILE)) / small.shape[0],)

        return analyze

    def summarise(self, metrics: FrameMetrics) -> Scores:
        unique_frames = np.flatnonzero(metrics.is_unique)
        if len(unique_frames) < 2:
            return {"motion": 0.0}
        seconds = np.diff(metrics.times[unique_frames])
        heights = metrics.values[unique_frames[1:], 0]
        return {"motion": round(float(np.median(heights / seconds)), 5)}
