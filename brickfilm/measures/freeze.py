"""Measure how much of a clip is frozen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from brickfilm.scan.analyzer import FrameMetrics, Measure, Scores

MIN_FREEZE_SECONDS = 0.5
"""Shortest freeze: three times the hold of an animation on fours."""


@dataclass(frozen=True, kw_only=True)
class Freeze(Measure):
    """Compute the share of a clip's time in frames held for MIN_FREEZE_SECONDS or more."""

    version: ClassVar[int] = 1
    provides: ClassVar[tuple[str, ...]] = ("freeze_share",)

    def summarise(self, metrics: FrameMetrics) -> Scores:
        edges = np.append(np.flatnonzero(metrics.is_unique), len(metrics) - 1)
        seconds = np.diff(metrics.times[edges])
        total = float(metrics.times[-1] - metrics.times[0])
        frozen = float(seconds[seconds >= MIN_FREEZE_SECONDS].sum())
        return {"freeze_share": round(frozen / total, 4) if total > 0 else 1.0}
