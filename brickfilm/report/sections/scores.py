"""Distribution of the clips' scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brickfilm.report.context import ReportContext
from brickfilm.report.sections.base import Section

BINS = 24
MEANINGS = {
    "caption_repeats": "number of other clips with the same caption",
    "cut_end": "0 to 1: probability that the cut at its end is one",
    "cut_inside": "0 to 1: highest probability of a cut inside the clip that was not made",
    "cut_start": "0 to 1: probability that the cut at its start is one",
    "drawing_fps": "unique frames per second while something moves",
    "flashes": "number of pictures of up to 0.4 s after which the one before returns",
    "freeze_share": "0 to 1: share of the time in frames held for half a second or more",
    "hold": "frames: most common hold length, 1 on ones, 2 on twos",
    "hold_regularity": "0 to 1: share of the holds with the most common length",
    "motion": "frame heights per second: median optical flow between unique frames",
    "pulldown": "1 if a conversion from 24 to 30 fps left uneven holds",
    "sharpness": "edge strength over contrast, higher is sharper",
}
"""Unit and meaning of the scores of the default stages (docs/dataset-schema.md)."""


@dataclass(frozen=True)
class ScoreHistogram:
    """Range, median and histogram of one score over all clips."""

    name: str
    minimum: float
    median: float
    maximum: float
    bars: list[int]
    """Heights in percent of the tallest bar."""

    @property
    def meaning(self) -> str:
        """Return unit and meaning in a line; '' for a score of one's own."""
        return MEANINGS.get(self.name.removeprefix("score_"), "")


def scores(context: ReportContext) -> Section | None:
    """Return a histogram of each score that is not the same for every clip."""
    names = sorted({n for row in context.clips for n in row if n.startswith("score_")})
    columns = {n: [row[n] for row in context.clips if row.get(n) is not None] for n in names}
    histograms = [score_histogram(n, np.array(v)) for n, v in columns.items() if len(set(v)) > 1]
    return Section("scores", "Scores", {"histograms": histograms}) if histograms else None


def score_histogram(name: str, values: NDArray[np.float64]) -> ScoreHistogram:
    """Compute range, median and histogram of the finite values."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return ScoreHistogram(name, np.nan, np.nan, np.nan, [0] * BINS)
    heights, _ = np.histogram(finite, bins=BINS)
    percent = np.ceil(100 * heights / heights.max()).astype(int)
    return ScoreHistogram(
        name, float(finite.min()), float(np.median(finite)), float(finite.max()), percent.tolist()
    )
