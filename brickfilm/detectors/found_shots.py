"""The shots of a video, and how each of their parts begins and ends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from brickfilm.detectors.base import CutScorer, Detector, FlashFinder, Transition
from brickfilm.scan.analyzer import FloatArray, FrameMetrics
from brickfilm.scan.frame_ranges import FrameRange, ranges_without

CUT_SCORES = ("cut_start", "cut_end", "cut_inside")
"""Scores of a clip by a detector that is a CutScorer."""
FLASHES = "flashes"
"""Score of a clip by a detector that is a FlashFinder."""
EDGE_RADIUS = 2
"""Frames beside a clip's edges in which no further cut is sought: one cut is in two or three."""

Edge = tuple[str, float]
"""How a clip begins or ends, and the probability that another shot lies beyond it."""


@dataclass(frozen=True)
class FoundShots:
    """The shots of one video."""

    shots: list[FrameRange]
    frames: int
    cuts: Sequence[int] = ()
    transitions: Sequence[Transition] = ()
    forced_cuts: Sequence[int] = ()
    """Frames from which timestamps, size or decoding start anew."""
    probabilities: FloatArray | None = None
    """Of each frame to begin a shot, [n]; None if they are not described."""
    flashes: Sequence[FrameRange] | None = None

    def edges(self, start: int, end: int) -> tuple[Edge, Edge]:
        """Return how a clip of these frames begins and ends."""
        return self._edge(start, is_start=True), self._edge(end, is_start=False)

    def scores(self, start: int, end: int, edges: tuple[Edge, Edge]) -> dict[str, float]:
        """Return the scores of a clip of these frames; none if shots are not described."""
        if self.probabilities is None:
            return {}
        inside = self.probabilities[start + 1 + EDGE_RADIUS : end - EDGE_RADIUS]
        values = (edges[0][1], edges[1][1], float(inside.max(initial=0)))
        scores = dict(zip(CUT_SCORES, values, strict=True))
        if self.flashes is not None:
            scores[FLASHES] = float(sum(a < end and start < b for a, b in self.flashes))
        return scores

    def _edge(self, frame: int, *, is_start: bool) -> Edge:
        """Return how a clip begins at a frame, or ends before it.

        'cut', a kind of transition, 'video' (its first or last frame), 'break' (a forced cut), or
        'split' (inside a shot). Without a doubt the probability is 1.
        """
        if frame in (0, self.frames):
            return "video", 1.0
        for transition in self.transitions:
            if frame == (transition.end if is_start else transition.start):
                if transition.kind == "blend":
                    return "cut", self._probability(transition.end)
                return transition.kind, transition.probability
        if frame in self.cuts:
            return "cut", self._probability(frame)
        return ("break" if frame in self.forced_cuts else "split"), 1.0

    def kind_between(self, start: int, end: int) -> str:
        """Return the kind of the transition in frames of no shot."""
        kinds = (t.kind for t in self.transitions if t.start < end and start < t.end)
        return next(kinds, "fade")

    def _probability(self, frame: int) -> float:
        return 1.0 if self.probabilities is None else float(self.probabilities[frame])


def find_shots(detector: Detector, metrics: FrameMetrics) -> FoundShots:
    """Return the shots of a video as they are, without a description."""
    return FoundShots(detector.shots(metrics), len(metrics))


def describe_shots(
    detector: Detector,
    metrics: FrameMetrics,
    wipes: Iterable[FrameRange],
    forced_cuts: Sequence[int],
) -> FoundShots:
    """Return the shots of a video by a CutScorer, without the frames of wipes, described."""
    assert isinstance(detector, CutScorer)
    named = [Transition(start, end, "wipe") for start, end in wipes]
    cuts = [n for n in detector.cuts(metrics) if not any(w.start < n < w.end for w in named)]
    ranges = [(wipe.start, wipe.end) for wipe in named]
    return FoundShots(
        ranges_without(detector.shots_between(cuts, metrics), ranges, len(metrics)),
        len(metrics),
        cuts,
        [*named, *detector.transitions(cuts, metrics)],
        forced_cuts,
        np.asarray(detector.probabilities(metrics), np.float32),
        detector.flashes(metrics) if isinstance(detector, FlashFinder) else None,
    )


def described_scores(detector: Detector) -> tuple[str, ...]:
    """Return the names of the scores that `describe_shots` gives by a detector; none by some."""
    if not isinstance(detector, CutScorer):
        return ()
    return (*CUT_SCORES, FLASHES) if isinstance(detector, FlashFinder) else CUT_SCORES
