"""The base class of shot detectors."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from brickfilm.scan.analyzer import FrameAnalyzer, FrameMetrics
from brickfilm.scan.frame_ranges import FrameRange


class Detector(FrameAnalyzer):
    """Analyze every frame of a video, then find its shots."""

    def cuts(self, metrics: FrameMetrics) -> list[int]:
        """Return the hard cuts of a whole video: first frames of new shots, in order."""
        raise NotImplementedError

    def shots(self, metrics: FrameMetrics) -> list[FrameRange]:
        """Return the shots of a whole video in order; frames between two belong to neither."""
        return shots_from_cuts(self.cuts(metrics), len(metrics))


def shots_from_cuts(cuts: Sequence[int], frames: int) -> list[FrameRange]:
    """Return the shots of a video of `frames` frames, given the first frames of new shots."""
    edges = [0, *cuts, frames]
    return [(a, b) for a, b in pairwise(edges) if b > a]
