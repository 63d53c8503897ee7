"""The base class of shot detectors."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from brickfilm.scan.analyzer import FrameAnalyzer, FrameMetrics
from brickfilm.scan.frame_ranges import FrameRange


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


def shots_from_cuts(cuts: Sequence[int], frames: int) -> list[FrameRange]:
    """Return the shots of a video of `frames` frames, given the first frames of new shots."""
    edges = [0, *cuts, frames]
    return [(a, b) for a, b in pairwise(edges) if b > a]
