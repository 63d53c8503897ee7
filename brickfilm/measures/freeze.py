"""Measure how much of a clip stands still."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from brickfilm.scan.analyzer import FrameMetrics, Measure, Scores

MIN_FREEZE_SECONDS = 0.5
"""Seconds a picture must stand before it counts: longer than any hold of an animation on fours."""


@dataclass(frozen=True, kw_only=True)
class Freeze(Measure):
    """Share of a clip's time in pictures that stand for half a second or more.

    It looks at nothing of its own: which frames are new drawings says all.
    """

    version: ClassVar[int] = 1
    provides: ClassVar[tuple[str, ...]] = ("freeze_share",)

    def summarise(self, metrics: FrameMetrics) -> Scores:
        edges = np.append(np.flatnonzero(metrics.is_unique), len(metrics) - 1)
        stood = np.diff(metrics.times[edges])
        whole = float(metrics.times[-1] - metrics.times[0])
        frozen = float(stood[stood >= MIN_FREEZE_SECONDS].sum())
        return {"freeze_share": round(frozen / whole, 4) if whole > 0 else 1.0}
