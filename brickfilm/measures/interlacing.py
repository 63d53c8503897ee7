"""Measure combing: the two fields of interlaced video, woven into one frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from brickfilm.media import ReducedFrame
from brickfilm.records import Video
from brickfilm.scan.analyzer import FrameFunction, FrameMetrics, Measure, Scores

MIN_COMB = 12
"""Levels by which a combed line differs from those beside it, and a moved pixel from before."""
MIN_MOVED_PIXELS = 40
"""Moved pixels of a clip's bands below which nothing can be said."""


@dataclass(frozen=True, kw_only=True)
class Interlacing(Measure):
    """Compute the share of the moved pixels that are combed, on lines at full size.

    A pixel is combed if both lines beside it are alike and it is brighter or darker than both.
    About half of the moved pixels are where fields were woven; fine textures give a few percent.
    """

    version: ClassVar[int] = 1
    columns: ClassVar[tuple[str, ...]] = ("combed", "moved")
    provides: ClassVar[tuple[str, ...]] = ("interlacing",)
    with_bands: ClassVar[bool] = True

    def begin(self, video: Video) -> FrameFunction:
        import cv2

        previous: NDArray[np.uint8] | None = None

        def analyze(frame: ReducedFrame) -> Sequence[float]:
            nonlocal previous
            last, previous = previous, frame.bands
            if last is None or last.shape != previous.shape:
                return 0.0, 0.0
            _, height, width = previous.shape
            lines = previous.reshape(-1, width)
            change = cv2.absdiff(lines, last.reshape(-1, width))
            change[::height] = change[height - 1 :: height] = 0  # they have one line beside them
            moved = cv2.compare(change, MIN_COMB, cv2.CMP_GE)
            count = cv2.countNonZero(moved)
            return (_combed(lines, moved), count) if count else (0, 0)

        return analyze

    def summarise(self, metrics: FrameMetrics) -> Scores:
        combed, moved = metrics.values[1:][metrics.is_unique[1:]].sum(axis=0)
        return {
            "interlacing": round(float(combed / moved), 4) if moved >= MIN_MOVED_PIXELS else 0.0
        }


def _combed(lines: NDArray[np.uint8], moved: NDArray[np.uint8]) -> int:
    """Return the number of moved pixels that are combed. Both [n, W]; 255 where one has moved."""
    import cv2

    above, line, below = lines[:-2], lines[1:-1], lines[2:]
    peak = cv2.max(
        cv2.subtract(line, cv2.max(above, below)), cv2.subtract(cv2.min(above, below), line)
    )
    combed = cv2.compare(peak, MIN_COMB, cv2.CMP_GE) & moved[1:-1]
    return cv2.countNonZero(combed & cv2.compare(cv2.absdiff(above, below), MIN_COMB, cv2.CMP_LT))
