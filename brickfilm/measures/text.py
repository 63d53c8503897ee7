"""Measure how much of the picture is lines of text, without a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from brickfilm.records import Video
from brickfilm.scan.analyzer import FrameFunction, FrameMetrics, Measure, Scores, sampled

LINE_WIDTH = 320
"""Width of the picture in which lines are sought: letters of 1/30 of 720p have 6."""
MIN_EDGE = 90
"""Sobel response of a stroke's sides: text stands out."""
GAP = 9
"""Pixels between letters and words that are closed to one line."""
LINE_HEIGHT = (5, 36)
"""Pixels of a line of text, from subtitles to titles."""
MIN_ASPECT = 2.5
MIN_FILL = 0.55
"""Share of a line's box that is filled once letters are closed."""
MIN_STROKES = 0.7
"""Sides of strokes in a row of a line, for each pixel of the line's height: letters are narrow."""
SAMPLE_SECONDS = 0.25


@dataclass(frozen=True, kw_only=True)
class TextShare(Measure):
    """Compute the median share of the picture in boxes around lines of text.

    It is sampled four times a second. A line is a wide box of dense, strong, upright edges. Reads
    no letters: patterns of bricks that are as dense, strong and wide count as well.
    """

    version: ClassVar[int] = 1
    columns: ClassVar[tuple[str, ...]] = ("share",)
    provides: ClassVar[tuple[str, ...]] = ("text_share",)

    def begin(self, video: Video) -> FrameFunction:
        return sampled(lambda frame: (text_share(frame.luma),), SAMPLE_SECONDS, video)

    def summarise(self, metrics: FrameMetrics) -> Scores:
        return {"text_share": round(float(np.median(metrics.values[:, 0])), 4)}


def text_share(luma: NDArray[np.uint8]) -> float:
    """Return the share of a picture, [H, W], in boxes around lines of text."""
    import cv2

    height = max(1, round(luma.shape[0] * LINE_WIDTH / luma.shape[1]))
    luma = cv2.resize(luma, (LINE_WIDTH, height), interpolation=cv2.INTER_LINEAR)
    edges = cv2.convertScaleAbs(cv2.Sobel(luma, cv2.CV_16S, 1, 0))
    strokes = (edges >= MIN_EDGE).astype(np.uint8)
    closed = cv2.morphologyEx(strokes, cv2.MORPH_CLOSE, np.ones((1, GAP), np.uint8))
    closed = cv2.morphologyEx(closed, cv2.MORPH_OPEN, np.ones((3, GAP), np.uint8))
    _, _, boxes, _ = cv2.connectedComponentsWithStats(closed, connectivity=4)
    lines = (box for box in boxes[1:].tolist() if _is_line(strokes, *box))
    return float(sum(width * height for _, _, width, height, _ in lines)) / luma.size


def _is_line(
    strokes: NDArray[np.uint8], x: int, y: int, width: int, height: int, filled: int
) -> bool:
    """Return True for a wide, filled box whose rows cross many strokes."""
    if not LINE_HEIGHT[0] <= height <= LINE_HEIGHT[1] or width < MIN_ASPECT * height:
        return False
    if filled < MIN_FILL * width * height:
        return False
    rows = strokes[y : y + height, x : x + width]
    crossings = np.count_nonzero(np.diff(rows.astype(np.int8), axis=1)) / height
    return bool(crossings >= MIN_STROKES * width / height)
