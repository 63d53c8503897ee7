"""Measure how much the exposure flickers between unique frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from brickfilm.media import ReducedFrame
from brickfilm.records import Video
from brickfilm.scan.analyzer import FrameFunction, FrameMetrics, Measure, Scores

BLACK = 16
MIN_LIGHT = 8.0
"""Levels above black below which relative changes are noise."""


@dataclass(frozen=True, kw_only=True)
class Flicker(Measure):
    """Compute the median relative change of exposure between unique frames, beyond its trend.

    Light that alternates between 1 and 1.05 gives 0.05. A fade is a trend, and gives 0. The change
    of a frame is the median over cells of the picture: most of them do not move.
    """

    version: ClassVar[int] = 1
    columns: ClassVar[tuple[str, ...]] = ("change",)
    provides: ClassVar[tuple[str, ...]] = ("flicker",)

    def begin(self, video: Video) -> FrameFunction:
        previous: NDArray[np.float32] | None = None

        def analyze(frame: ReducedFrame) -> Sequence[float]:
            nonlocal previous
            cells = frame.luma_cells.astype(np.float32)
            light = np.maximum(cells - (0 if frame.is_full_range else BLACK), 0)
            last, previous = previous, light
            if last is None:
                return (0.0,)
            return (float(np.median((light - last) / np.maximum((light + last) / 2, MIN_LIGHT))),)

        return analyze

    def summarise(self, metrics: FrameMetrics) -> Scores:
        changes = metrics.values[metrics.is_unique, 0][1:]  # the first is across the cut
        if len(changes) < 2:
            return {"flicker": 0.0}
        return {"flicker": round(float(np.median(np.abs(np.diff(changes)))) / 2, 5)}
