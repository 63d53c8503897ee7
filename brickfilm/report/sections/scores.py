"""Distribution of the clips' scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brickfilm.report.context import ReportContext
from brickfilm.report.sections.base import Section
from brickfilm.report.titles import SCORE_MEANINGS
from brickfilm.schema.columns import SCORE_PREFIX

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

    @property
    def meaning(self) -> str:
        """Return unit and meaning in a line; '' for a score of one's own."""
        return SCORE_MEANINGS.get(self.name.removeprefix("score_"), "")


def scores(context: ReportContext) -> Section | None:
    """Return a histogram of each score, and the value of those that are the same for every clip."""
    names = sorted(name for name in context.clips.names if name.startswith(SCORE_PREFIX))
    columns = ((name, context.clips.numbers(name)) for name in names)
    every = [score_histogram(name, values) for name, values in columns if len(values)]
    if not every:
        return None
    data = {
        "histograms": [found for found in every if found.minimum != found.maximum],
        "constant": [found for found in every if found.minimum == found.maximum],
    }
    return Section("scores", "Scores", data)


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
