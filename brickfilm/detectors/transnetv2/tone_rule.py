"""Decide about a proposed cut by the second or third rule, which weigh the change of tone too.

Fitted by `tests/benchmarks/tone_rule.py` on the proposals in real films that were labelled by eye.
The first rule (`rule`) and the second still decide in the work folders that they have cut.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brickfilm.detectors.base import local_baseline, logistic
from brickfilm.detectors.transnetv2.rule import strongest
from brickfilm.scan.analyzer import FloatArray

WEIGHTS = (-6.15, 1.52, 3.343, 4.15, 3.627)
"""Of 1, dissimilarity, root of the layout change, dissimilarity above its local baseline, and tone
change."""
MIN_CUT_DISSIMILARITY = 0.52
"""Dissimilarity from which a frame may be a cut. The lowest in the labelled films is 0.53."""
UNLIKELY = (0.02, 0.5)
"""Probabilities without the network between which it is asked: it adds cuts, and removes none. In
the labelled films its vote against was wrong as often as right."""
MIN_ASKED_LAYOUT_CHANGE = 0.5
"""Layout change from which it is asked: below, it was wrong where paper moves on a plain card."""
ASKED_DISTANCE = 15
"""Frames around one that is asked without another that would be: where each pose is doubtful (thin
figures, drawings on one ground) the votes were all no, and took ten times as long as the scan."""
MIN_VOTE = 0.5
"""Probability of the network that makes a cut."""
FAINT_DISSIMILARITY = 0.6
MIN_FAINT_TONE_CHANGE = 0.7
"""Tone change that a cut below that dissimilarity needs: a figure that enters close to the camera
hides most of the picture and has its tones."""
MAX_HELD_BACK = 0.4
"""Highest probability of a frame below both."""
CUT_RADIUS = 2
"""Frames within which only the most likely cut is kept."""


@dataclass(frozen=True)
class ToneProposals:
    """Frames that may be cuts, and the figures by which the second rule decides, each [n]."""

    frames: NDArray[np.int64]
    dissimilarity: FloatArray
    baseline: FloatArray
    layout_change: FloatArray
    tone_change: FloatArray
    network: FloatArray
    """Probability of the network, or NOT_ASKED."""

    def probabilities(self) -> FloatArray:
        """Return the probability that each is a cut; the network's own where it decides."""
        return self.with_network(self._alone())

    def with_network(self, alone: FloatArray) -> FloatArray:
        """Return the probabilities without the network, raised to its own where it adds a cut."""
        is_added = self._may_be_added(alone) & (self.network > MIN_VOTE)
        return np.where(is_added, self.network, alone).astype(np.float32)

    def doubtful(self) -> list[int]:
        """Return the frames about which the network is asked."""
        frames: list[int] = self.frames[self._may_be_added(self._alone())].tolist()
        return frames

    def cuts(self) -> list[int]:
        """Return the frames that are more likely cuts than not."""
        return likely_cuts(self.frames, self.probabilities())

    def figures(self) -> FloatArray:
        """Return what the rule weighs, a one before, [n, 5]."""
        above = self.dissimilarity - self.baseline
        layout = np.sqrt(np.maximum(self.layout_change, 0))
        columns = np.ones_like(above), self.dissimilarity, layout, above, self.tone_change
        return np.stack(columns, axis=1)

    def limited(self, alone: FloatArray) -> FloatArray:
        """Return what the rule makes of the probabilities that its weights give."""
        return alone

    def _alone(self) -> FloatArray:
        return self.limited(logistic(self.figures() @ np.array(WEIGHTS)))

    def _may_be_added(self, alone: FloatArray) -> NDArray[np.bool_]:
        is_unlikely = (alone > UNLIKELY[0]) & (alone < UNLIKELY[1])
        is_new = is_unlikely & (self.layout_change >= MIN_ASKED_LAYOUT_CHANGE)
        distances = np.abs(self.frames[is_new][:, None] - self.frames[is_new])
        is_new[is_new] = (distances <= ASKED_DISTANCE).sum(axis=1) == 1
        return is_new


class StrictToneProposals(ToneProposals):
    """The third rule: the second, but where little differs only another tone makes a cut."""

    def limited(self, alone: FloatArray) -> FloatArray:
        is_faint = self.dissimilarity < FAINT_DISSIMILARITY
        is_held_back = is_faint & (self.tone_change < MIN_FAINT_TONE_CHANGE)
        return np.where(is_held_back, np.minimum(alone, MAX_HELD_BACK), alone)


def likely_cuts(frames: NDArray[np.int64], probabilities: FloatArray) -> list[int]:
    """Return the frames that are more likely cuts than not, one within CUT_RADIUS frames."""
    by_frame = np.zeros(int(frames.max(initial=0)) + 1, np.float32)
    by_frame[frames] = probabilities
    cuts: list[int] = strongest(frames[probabilities > 0.5], by_frame, CUT_RADIUS).tolist()
    return cuts


def find_tone_proposals(
    kind: type[ToneProposals],
    dissimilarity: FloatArray,
    layout_change: FloatArray,
    tone_change: FloatArray,
    network: FloatArray,
    excluded: NDArray[np.bool_],
    blended: NDArray[np.bool_],
) -> ToneProposals:
    """Return the proposals of a whole video, of a kind, from the figures of its frames, each [n].

    Changes of layout and tone may be 0 below MIN_CUT_DISSIMILARITY. Blended frames are no part of
    the baseline: one beside a cut would hide it.
    """
    candidates = np.flatnonzero((dissimilarity >= MIN_CUT_DISSIMILARITY) & ~excluded)
    frames = strongest(candidates, dissimilarity + layout_change + tone_change)
    pictures = np.where(blended, 0, dissimilarity)
    baseline = np.array([local_baseline(pictures, int(n)) for n in frames], np.float32)
    return kind(
        frames,
        dissimilarity[frames],
        baseline,
        layout_change[frames],
        tone_change[frames],
        network[frames],
    )
