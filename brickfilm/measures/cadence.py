"""Measure how a clip was animated: on ones, twos, threes or fours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from brickfilm.scan.analyzer import FrameMetrics, Measure, Scores

MAX_HOLD_SECONDS = 0.5
"""Seconds. What stands longer is a pause, not a hold."""
PULLDOWN_MEAN_HOLDS = (1.25, 2.5, 3.75)
"""Frames a drawing stays, on average, when ones, twos or threes at 24 fps were made into 30."""
PULLDOWN_TOLERANCE = 0.12
"""Frames by which the average may miss one of these."""


@dataclass(frozen=True, kw_only=True)
class Cadence(Measure):
    """The hold that prevails, in frames; drawings a second; how regular; and an old conversion.

    `hold_regularity` is the share of holds that are as long as the prevailing one. `pulldown` is 1
    where an earlier conversion from 24 to 30 fps left its 3, 2, 3, 2: such a clip judders, and no
    frame interval undoes it. It looks at nothing of its own: which frames are new says all.
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
        prevailing = int(np.bincount(holds).argmax())
        return {
            "hold": float(prevailing),
            "drawing_fps": round(len(holds) / float(seconds.sum()), 3),
            "hold_regularity": round(float(np.mean(holds == prevailing)), 3),
            "pulldown": float(has_pulldown(holds)),
        }


def has_pulldown(holds: NDArray[np.int64]) -> bool:
    """Whether holds alternate as a conversion leaves them: always within a frame of even steps."""
    if len(holds) < 4:
        return False
    average = float(holds.mean())
    for step in PULLDOWN_MEAN_HOLDS:
        drift = np.cumsum(holds - step)
        even = float(drift.max() - drift.min()) <= 1.0
        if abs(average - step) < PULLDOWN_TOLERANCE and even and len(set(holds.tolist())) == 2:
            return True
    return False
