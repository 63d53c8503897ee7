"""Distribution of the clips' scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brickfilm.report.context import ReportContext
from brickfilm.report.sections.base import Section

BINS = 24


@dataclass(frozen=True)
class ScoreHistogram:
    """Range, median and histogram of one score over all clips."""

    name: str
    minimum: float
    median: float
    maximum: float
    bars: list[int]
    """Heights in percent of the tallest bar."""


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
