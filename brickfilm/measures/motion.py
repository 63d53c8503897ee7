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
"""Pixels a side that OpenCV's DIS flow needs: it crashes on wide images of fewer lines."""
FLOW_QUANTILE = 0.9
"""Quantile of the flow over the frame: a moving figure fills a tenth of it."""


def _quantile(values: NDArray[np.float32], share: float) -> float:
    """Return `np.quantile(values, share)` of finite values, in a fifth of its time."""
    position = share * (values.size - 1)
    low = int(position)
    high = min(low + 1, values.size - 1)
    ordered = np.partition(values.ravel(), (low, high))
    return float(ordered[low] + (ordered[high] - ordered[low]) * (position - low))


def _pad_for_flow(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Repeat the last row and column until the image is large enough for the flow."""
    import cv2

    rows, columns = (max(0, MIN_FLOW_SIDE - side) for side in image.shape)
    if not rows and not columns:
        return image
    return np.asarray(cv2.copyMakeBorder(image, 0, rows, 0, columns, cv2.BORDER_REPLICATE))


@dataclass(frozen=True, kw_only=True)
class Motion(Measure):
    """Compute the median optical flow between unique frames, in frame heights per second.

    Held frames are skipped: on threes, two of three differences are noise. The flow of a pair of
    frames is its FLOW_QUANTILE over the frame.
    """

    version: ClassVar[int] = 1
    columns: ClassVar[tuple[str, ...]] = ("flow",)
    provides: ClassVar[tuple[str, ...]] = ("motion",)

    def begin(self, video: Video) -> FrameFunction:
        import cv2

        flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        previous: NDArray[np.uint8] | None = None

        def analyze(frame: ReducedFrame) -> Sequence[float]:
            nonlocal previous
            last, previous = previous, frame.half_luma
            if last is None or last.shape != previous.shape or np.array_equal(last, previous):
                return (0.0,)
            vectors = flow.calc(_pad_for_flow(last), _pad_for_flow(previous), None)
            height, width = previous.shape
            x, y = np.moveaxis(vectors[:height:2, :width:2], 2, 0)
            return (_quantile(cv2.magnitude(x, y), FLOW_QUANTILE) / height,)

        return analyze

    def summarise(self, metrics: FrameMetrics) -> Scores:
        unique_frames = np.flatnonzero(metrics.is_unique)
        if len(unique_frames) < 2:
            return {"motion": 0.0}
        seconds = np.diff(metrics.times[unique_frames])
        heights = metrics.values[unique_frames[1:], 0]
        return {"motion": round(float(np.median(heights / seconds)), 5)}
