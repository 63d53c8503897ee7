"""Estimate how sure a cut by dissimilarity is.

The rule was fitted by `tests/benchmarks/joint_rule.py` on labelled proposals; docs/performance.md
shows how often cuts of each probability were cuts. It decides nothing: thresholds find the cuts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from brickfilm.detectors.base import local_baseline, logistic
from brickfilm.scan.analyzer import FloatArray

WEIGHTS = (-7.118, 8.774, 4.778)
"""Of 1, dissimilarity, and dissimilarity above the local baseline."""
MIN_DISSIMILARITY = 0.35
"""Lowest dissimilarity of a proposal in the labelled table: below it the probability is 0."""


def cut_probabilities(dissimilarity: FloatArray, excluded: NDArray[np.bool_]) -> FloatArray:
    """Return the probability that each frame begins a shot, [n]; 0 for excluded frames."""
    found = np.zeros(len(dissimilarity), np.float32)
    proposed = np.flatnonzero((dissimilarity >= MIN_DISSIMILARITY) & ~excluded)
    baseline = np.array([local_baseline(dissimilarity, int(n)) for n in proposed], np.float32)
    found[proposed] = probability_of(dissimilarity[proposed], baseline)
    return found


def probability_of(dissimilarity: FloatArray, baseline: FloatArray) -> FloatArray:
    """Return the probability of cuts with these figures, each [n]."""
    one, slope, slope_above = WEIGHTS
    return logistic(one + slope * dissimilarity + slope_above * (dissimilarity - baseline))
