"""Measure how much of a clip is a test card of colour bars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from brickfilm.media import ReducedFrame
from brickfilm.records import Video
from brickfilm.scan.analyzer import FrameFunction, FrameMetrics, Measure, Scores

ROWS = (0.12, 0.55)
"""Part of the height that is examined: bars stand above the pluge and ramps of SMPTE's cards."""
MAX_COLUMN_DEVIATION = 3.0
"""Levels of luma, mean over the columns, by which the pixels of a column differ in a bar."""
MIN_STEP = 6
"""Levels of luma between two neighbouring bars: magenta to red is 14 at 75 %."""
BARS = range(6, 11)
"""Bars of a card: seven in SMPTE's, eight in EBU's, nine with the grey sides of HD."""
MIN_COLORED_SHARE = 0.5
MIN_CHROMA = 30
"""Levels from grey that most cells of a card have: its bars are saturated."""


@dataclass(frozen=True, kw_only=True)
class ColorBars(Measure):
    """Compute the share of a clip's frames that are colour bars: six to ten, upright, saturated."""

    version: ClassVar[int] = 1
    columns: ClassVar[tuple[str, ...]] = ("is_card",)
    provides: ClassVar[tuple[str, ...]] = ("color_bars",)

    def begin(self, video: Video) -> FrameFunction:
        return lambda frame: (float(is_color_bars(frame)),)

    def summarise(self, metrics: FrameMetrics) -> Scores:
        return {"color_bars": round(float(metrics.values.mean()), 4)}


def is_color_bars(frame: ReducedFrame) -> bool:
    """Return True if the upper half of a frame is made of upright bars of saturated colours."""
    top, bottom = (int(share * len(frame.luma)) for share in ROWS)
    chroma = frame.chroma_thumbnail
    rows = slice(int(ROWS[0] * len(chroma)), max(1, int(ROWS[1] * len(chroma))))
    blue, red = (chroma[rows].astype(np.int32) - 128).transpose(2, 0, 1)
    is_colored = blue * blue + red * red > MIN_CHROMA**2
    if np.count_nonzero(is_colored) < MIN_COLORED_SHARE * is_colored.size:
        return False
    lines = frame.luma[top:bottom:8].astype(np.float32)
    if lines.std(axis=0).mean() > MAX_COLUMN_DEVIATION:
        return False
    return _count_bars(lines.mean(axis=0)) in BARS


def _count_bars(profile: np.ndarray) -> int:
    """Return the number of level stretches in a row of luma, [W], each wider than a 20th of it."""
    is_step = np.abs(profile[2:] - profile[:-2]) >= MIN_STEP
    edges = np.flatnonzero(np.diff(is_step, prepend=True, append=True))
    return int(np.count_nonzero(np.diff(edges)[::2] > len(profile) / 20))
