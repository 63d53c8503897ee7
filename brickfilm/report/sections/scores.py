"""How the scores of the clips are spread."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brickfilm.report.context import ReportContext
from brickfilm.report.sections.base import Section

BINS = 24


@dataclass(frozen=True)
class ScoreHistogram:
    """One score over all clips: its range, its middle, and a histogram."""

    name: str
    minimum: float
    median: float
    maximum: float
    bars: list[int]
    """Percent of the tallest bar."""


def scores(material: ReportContext) -> Section | None:
    """A histogram a score; one that is the same for every clip is left out."""
    names = sorted({n for row in material.clips for n in row if n.startswith("score_")})
    columns = {n: [row[n] for row in material.clips if row.get(n) is not None] for n in names}
    spreads = [score_histogram(n, np.array(v)) for n, v in columns.items() if len(set(v)) > 1]
    return Section("scores", "Scores", {"spreads": spreads}) if spreads else None


def score_histogram(name: str, values: NDArray[np.float64]) -> ScoreHistogram:
    """The figures of one score, without those that are no number."""
    known = values[np.isfinite(values)]
    if not len(known):
        return ScoreHistogram(name, np.nan, np.nan, np.nan, [0] * BINS)
    heights, _ = np.histogram(known, bins=BINS)
    percent = np.ceil(100 * heights / heights.max()).astype(int)
    return ScoreHistogram(
        name, float(known.min()), float(np.median(known)), float(known.max()), percent.tolist()
    )
