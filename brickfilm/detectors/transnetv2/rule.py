"""Decide about a proposed cut by the first rule, logistic over a few figures.

The rule was fitted by `tests/benchmarks/joint_rule.py` on `joint_rule.csv` beside it: the proposals
in real stop motion and rendered videos that were labelled by eye.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brickfilm.detectors.base import local_baseline, logistic
from brickfilm.scan.analyzer import FloatArray

NOT_ASKED = -1.0
"""In place of the network's probability."""
WEIGHTS_WITHOUT_NETWORK = (-7.668, 6.073, 4.224, 5.38)
"""Of 1, dissimilarity, layout change, and dissimilarity above the local baseline."""
WEIGHTS = (-3.405, 3.116, 1.03, 2.731, 1.427)
"""The same, then of the log odds of the network's probability."""
MAX_LOG_ODDS_PROBABILITY = 0.99
"""The network's probabilities are taken as at most this, and at least its complement."""
DOUBT = (0.1, 0.9)
"""The network is asked if the rule without it gives a probability between these."""
MIN_PROPOSED_DISSIMILARITY = 0.35
MIN_PROPOSED_LAYOUT_CHANGE = 0.3
"""Either makes a frame a proposal."""
PROPOSAL_RADIUS = 1
"""Frames within which only the strongest proposal is kept."""
LUMA_NOISE = 1.0
"""Contrast in levels below which two thumbnails are plain, and have no layout."""
PLAIN_LUMA_STEP = 40.0
"""Levels between two plain pictures that are two pictures: black and white."""


@dataclass(frozen=True)
class Proposals:
    """Frames that may be cuts, and the figures by which it is decided, each [n]."""

    frames: NDArray[np.int64]
    dissimilarity: FloatArray
    baseline: FloatArray
    layout_change: FloatArray
    network: FloatArray
    """Probability of the network, or NOT_ASKED."""

    def probabilities(self) -> FloatArray:
        """Return the probability that each is a cut, 0 to 1."""
        asked = self.network != NOT_ASKED
        return np.where(asked, self._with_network(), self._without_network()).astype(np.float32)

    def doubtful(self) -> list[int]:
        """Return the frames about which the figures without the network leave a doubt."""
        probabilities = self._without_network()
        is_doubtful = (probabilities > DOUBT[0]) & (probabilities < DOUBT[1])
        frames: list[int] = self.frames[is_doubtful].tolist()
        return frames

    def cuts(self) -> list[int]:
        """Return the frames that are more likely cuts than not."""
        frames: list[int] = self.frames[self.probabilities() > 0.5].tolist()
        return frames

    def figures(self) -> FloatArray:
        """Return what the rule without the network weighs, a one before, [n, 4]."""
        above = self.dissimilarity - self.baseline
        columns = np.ones_like(above), self.dissimilarity, self.layout_change, above
        return np.stack(columns, axis=1)

    def _without_network(self) -> FloatArray:
        return logistic(self.figures() @ np.array(WEIGHTS_WITHOUT_NETWORK))

    def _with_network(self) -> FloatArray:
        return logistic(
            self.figures() @ np.array(WEIGHTS[:4]) + WEIGHTS[4] * log_odds(self.network)
        )


def find_proposals(
    dissimilarity: FloatArray,
    layout_change: FloatArray,
    network: FloatArray,
    excluded: NDArray[np.bool_],
) -> Proposals:
    """Return the proposals of a whole video from the figures of its frames, each [n]."""
    is_proposed = (dissimilarity >= MIN_PROPOSED_DISSIMILARITY) | (
        layout_change >= MIN_PROPOSED_LAYOUT_CHANGE
    )
    candidates = np.flatnonzero(is_proposed & ~excluded)
    frames = strongest(candidates, dissimilarity + layout_change)
    baseline = [local_baseline(dissimilarity, int(n)) for n in frames]
    return Proposals(
        frames,
        dissimilarity[frames],
        np.asarray(baseline, np.float32),
        layout_change[frames],
        network[frames],
    )


def log_odds(probabilities: FloatArray) -> FloatArray:
    """Return the log odds of probabilities, which are clipped to stay finite."""
    clipped = np.clip(probabilities, 1 - MAX_LOG_ODDS_PROBABILITY, MAX_LOG_ODDS_PROBABILITY)
    return np.asarray(np.log(clipped / (1 - clipped)), np.float32)


def layout_change(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Return 1 minus the correlation of the luma of two thumbnails, 0 to 2.

    It stays low where paper moves on a plain card or the light changes: light and dark lie as
    before.
    """
    one, other = (x.mean(axis=2, dtype=np.float32).ravel() for x in (a, b))
    one, other = one - one.mean(), other - other.mean()
    energy = float(np.vdot(one, one)) * float(np.vdot(other, other))
    noise = one.size * LUMA_NOISE**2
    if energy < noise**2:
        return 0.0 if abs(float(a.mean()) - float(b.mean())) < PLAIN_LUMA_STEP else 1.0
    return 1 - float(np.vdot(one, other)) / float(np.sqrt(energy))


def strongest(
    candidates: NDArray[np.int64], strength: FloatArray, radius: int = PROPOSAL_RADIUS
) -> NDArray[np.int64]:
    """Keep the strongest of candidates within `radius` frames; strength: of each frame, [n]."""
    kept: list[int] = []
    for n in candidates.tolist():
        if kept and n - kept[-1] <= radius:
            if strength[n] > strength[kept[-1]]:
                kept[-1] = n
        else:
            kept.append(n)
    return np.asarray(kept, np.int64)
