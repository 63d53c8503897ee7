"""Measure how much of a clip shows nothing: black or another flat colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from brickfilm.media import ReducedFrame
from brickfilm.records import Video
from brickfilm.scan.analyzer import FrameFunction, FrameMetrics, Measure, Scores

CELL = 8
"""Pixels of the reduced frame along a cell: its mean has no grain, and text makes it brighter."""
MARGIN = 0.15
"""Share of each side that does not count: bars of 2.39:1 or 4:3 in 16:9 take 0.13."""
BLACK_LEVEL = 38
"""Luma up to which a cell is black: a tenth of the range, as FFmpeg's `blackdetect` has it."""
FLAT_RANGE = 8
"""Levels between the darkest and the brightest cell of a flat picture."""


@dataclass(frozen=True, kw_only=True)
class Blank(Measure):
    """Compute the shares of a clip's frames that are black, and that are flat.

    A flat frame has one luma all over, whatever its colour; a black one is flat as well if it is
    evenly black. Text or a lamp in the dark is neither.
    """

    version: ClassVar[int] = 1
    columns: ClassVar[tuple[str, ...]] = ("darkest", "brightest")
    provides: ClassVar[tuple[str, ...]] = ("black_share", "flat_share")

    def begin(self, video: Video) -> FrameFunction:
        import cv2

        def analyze(frame: ReducedFrame) -> Sequence[float]:
            rows, columns = (int(MARGIN * side) for side in frame.luma.shape)
            inner = frame.luma[rows : len(frame.luma) - rows, columns : -columns or None]
            size = (max(1, inner.shape[1] // CELL), max(1, inner.shape[0] // CELL))
            cells = cv2.resize(inner, size, interpolation=cv2.INTER_AREA)
            darkest, brightest, _, _ = cv2.minMaxLoc(cells)
            return darkest, brightest

        return analyze

    def summarise(self, metrics: FrameMetrics) -> Scores:
        darkest, brightest = metrics.values.T
        is_flat = brightest - darkest <= FLAT_RANGE
        return {
            "black_share": round(float((brightest <= BLACK_LEVEL).mean()), 4),
            "flat_share": round(float(is_flat.mean()), 4),
        }
