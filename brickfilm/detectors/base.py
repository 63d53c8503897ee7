"""What a shot detector is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from brickfilm.scan.analyzer import FrameAnalyzer, FrameMetrics

FrameRange = tuple[int, int]
"""Frames [start, end)."""


class Detector(FrameAnalyzer):
    """Sees every frame of a film, then says where its shots are."""

    def cuts(self, metrics: FrameMetrics) -> list[int]:
        """The hard cuts of a whole film: first frames of new shots."""
        raise NotImplementedError

    def shots(self, metrics: FrameMetrics) -> list[FrameRange]:
        """The shots of a whole film in order. Frames between two of them belong to neither."""
        return shots_from_cuts(self.cuts(metrics), len(metrics))


def shots_from_cuts(cuts: Sequence[int], frames: int) -> list[FrameRange]:
    """The shots that cuts (first frames of new shots) leave in a film of so many frames."""
    edges = [0, *cuts, frames]
    return [(a, b) for a, b in pairwise(edges) if b > a]
