"""The base class of shot detectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from brickfilm.scan.analyzer import FloatArray, FrameAnalyzer, FrameMetrics
from brickfilm.scan.frame_ranges import FrameRange

BASELINE_RADIUS = 15
"""Frames on either side from which the local baseline is taken."""

TransitionKind = Literal["fade", "dissolve", "wipe", "gradual", "blend"]
"""'gradual' is one of the first three that a detector does not tell apart; 'blend' is one or two
frames that a frame rate conversion mixed across a hard cut."""


@dataclass(frozen=True)
class Transition:
    """Frames between two shots that belong to neither."""

    start: int
    end: int
    """Exclusive."""
    kind: TransitionKind
    probability: float = 1.0
    """Probability that it joins two shots."""


class Detector(FrameAnalyzer):
    """Analyze every frame of a video, then find its shots."""

    @property
    def name(self) -> str:
        """Return the name in the column `shot_detector`."""
        return type(self).__name__

    def check(self) -> None:
        """Raise UsageError if it cannot run: a missing extra."""

    def cuts(self, metrics: FrameMetrics) -> list[int]:
        """Return the hard cuts of a whole video: first frames of new shots, in order."""
        raise NotImplementedError

    def shots(self, metrics: FrameMetrics) -> list[FrameRange]:
        """Return the shots of a whole video in order; frames between two belong to neither."""
        return self.shots_between(self.cuts(metrics), metrics)

    def shots_between(self, cuts: Sequence[int], metrics: FrameMetrics) -> list[FrameRange]:
        """Return the shots of a whole video, given its cuts: without the frames of transitions."""
        return shots_from_cuts(cuts, len(metrics))

    def frames_without_cuts(self, metrics: FrameMetrics) -> NDArray[np.bool_]:
        """Return True for frames inside flashes, blends and transitions, [n]."""
        return np.zeros(len(metrics), bool)


@runtime_checkable
class CutScorer(Protocol):
    """A detector that says how sure it is of each cut, and names gradual transitions."""

    def probabilities(self, metrics: FrameMetrics) -> FloatArray:
        """Return the probability that each frame begins a shot, 0 to 1, [n]."""

    def transitions(self, cuts: Sequence[int], metrics: FrameMetrics) -> list[Transition]:
        """Return the transitions whose frames belong to no shot, given the cuts."""


@runtime_checkable
class FlashFinder(Protocol):
    """A detector that tells flashes from cuts."""

    def flashes(self, metrics: FrameMetrics) -> list[FrameRange]:
        """Return the frame ranges after which the picture before them returns."""


@runtime_checkable
class BlendFinder(Protocol):
    """A detector that knows frames that a frame rate conversion blended across a cut."""

    def blended_frames(self, metrics: FrameMetrics) -> NDArray[np.bool_]:
        """Return True for frames that are a blend of those around them, [n]."""


def shots_from_cuts(cuts: Sequence[int], frames: int) -> list[FrameRange]:
    """Return the shots of a video of `frames` frames, given the first frames of new shots."""
    edges = [0, *cuts, frames]
    return [(a, b) for a, b in pairwise(edges) if b > a]


def logistic(values: FloatArray) -> FloatArray:
    """Return 1 / (1 + exp(-x))."""
    return np.asarray(1 / (1 + np.exp(-values)), np.float32)


def local_baseline(scores: FloatArray, n: int, min_frames: int = 1) -> float:
    """Return the median score of changed frames before or after a frame, whichever is higher.

    min_frames: changed frames on one side that make a baseline; a side with fewer counts as 0.
    """
    sides = (scores[max(1, n - BASELINE_RADIUS) : n], scores[n + 1 : n + 1 + BASELINE_RADIUS])
    changed = (side[side > 0] for side in sides)
    return max(float(np.median(s)) if len(s) >= min_frames else 0.0 for s in changed)
