"""Measure the black bars around a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from brickfilm.media import ReducedFrame
from brickfilm.records import Video
from brickfilm.scan.analyzer import FrameFunction, FrameMetrics, Measure, Scores

SIDES = ("top", "bottom", "left", "right")
BAR_LEVEL = 26
"""Luma of the brightest pixel of a line up to which it belongs to a bar: black, plus noise."""
FULL_RANGE_OFFSET = 14
"""Levels by which black is lower in full range, noise included."""
QUANTILE = 0.05
"""Quantile over the frames: bars are still, a dark scene only seems to have larger ones."""


@dataclass(frozen=True, kw_only=True)
class Letterbox(Measure):
    """Compute the share of the picture in black bars, and each bar's as a share of height or width.

    Exact to a line of the reduced frame, 1/180 of the height of 720p. A clip that is all black has
    no bars. `brickfilm export --crop letterbox` finds the bars at full size.
    """

    version: ClassVar[int] = 1
    columns: ClassVar[tuple[str, ...]] = SIDES
    provides: ClassVar[tuple[str, ...]] = ("letterbox", *(f"letterbox_{side}" for side in SIDES))

    def begin(self, video: Video) -> FrameFunction:
        def analyze(frame: ReducedFrame) -> Sequence[float]:
            level, luma = BAR_LEVEL - FULL_RANGE_OFFSET * frame.is_full_range, frame.luma
            border = luma[0], luma[-1], luma[:, 0], luma[:, -1]
            if min(int(line.max()) for line in border) > level:
                return 0.0, 0.0, 0.0, 0.0
            return *_bars(luma.max(axis=1), level), *_bars(luma.max(axis=0), level)

        return analyze

    def summarise(self, metrics: FrameMetrics) -> Scores:
        shown = metrics.values[metrics.values[:, 0] < 1]
        if not len(shown):
            return dict.fromkeys(self.provides, 0.0)
        sides = np.quantile(shown, QUANTILE, axis=0, method="lower")
        top, bottom, left, right = (round(float(side), 4) for side in sides)
        share = 1 - (1 - top - bottom) * (1 - left - right)
        return dict(zip(self.provides, (round(share, 4), top, bottom, left, right), strict=True))


def _bars(brightest: NDArray[np.uint8], level: int) -> tuple[float, float]:
    """Return the shares of the lines before and behind the picture; 1 and 0 if all are black."""
    picture = np.flatnonzero(brightest > level)
    if not len(picture):
        return 1.0, 0.0
    return picture[0] / len(brightest), 1 - (picture[-1] + 1) / len(brightest)
