"""Measure a clip's cadence: animated on ones, twos, threes or fours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from brickfilm.scan.analyzer import FrameMetrics, Measure, Scores

MAX_HOLD_SECONDS = 0.5
"""Seconds; a longer hold is a pause, not a cadence."""
PULLDOWN_MEAN_HOLDS = (1.25, 2.5, 3.75)
"""Mean hold, in frames, of ones, twos and threes converted from 24 to 30 fps."""
PULLDOWN_TOLERANCE = 0.12
"""Frames by which the mean hold may differ from these."""


@dataclass(frozen=True, kw_only=True)
class Cadence(Measure):
    """Compute the most common hold in frames, unique frames a second, regularity and pulldown.

    `hold_regularity` is the share of holds of the most common length. `pulldown` is 1 if a
    conversion from 24 to 30 fps left holds of 3, 2, 3, 2: such a clip judders, and no frame
    interval undoes it. Unique frames are the only input, so there are no columns.
    """

    version: ClassVar[int] = 1
    provides: ClassVar[tuple[str, ...]] = ("hold", "drawing_fps", "hold_regularity", "pulldown")

    def summarise(self, metrics: FrameMetrics) -> Scores:
        starts = np.flatnonzero(metrics.is_unique)
        holds = np.diff(starts)
        seconds = np.diff(metrics.times[starts])
        moving = seconds <= MAX_HOLD_SECONDS
        holds, seconds = holds[moving], seconds[moving]
        if not len(holds):
            return {"hold": 0.0, "drawing_fps": 0.0, "hold_regularity": 0.0, "pulldown": 0.0}
        hold = int(np.bincount(holds).argmax())
        return {
            "hold": float(hold),
            "drawing_fps": round(len(holds) / float(seconds.sum()), 3),
            "hold_regularity": round(float(np.mean(holds == hold)), 3),
            "pulldown": float(has_pulldown(holds)),
        }


def has_pulldown(holds: NDArray[np.int64]) -> bool:
    """Return True if holds alternate as in 3:2 pulldown, within one frame of equal steps."""
    if len(holds) < 4:
        return False
    mean_hold = float(holds.mean())
    for step in PULLDOWN_MEAN_HOLDS:
        drift = np.cumsum(holds - step)
        is_even = float(drift.max() - drift.min()) <= 1.0
        if abs(mean_hold - step) < PULLDOWN_TOLERANCE and is_even and len(set(holds.tolist())) == 2:
            return True
    return False
