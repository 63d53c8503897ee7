"""PySceneDetect's detectors: good on ordinary video, not on held poses.

The metric is PySceneDetect's own frame score. Its rules over that score are reimplemented below, so
that another threshold decodes nothing; a test compares them with the original.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from brickfilm.detectors.base import Detector
from brickfilm.media import ReducedFrame
from brickfilm.records import Video
from brickfilm.scan.analyzer import FloatArray, FrameFunction, FrameMetrics

if TYPE_CHECKING:
    from scenedetect import FrameTimecode

ADAPTIVE_WINDOW_RADIUS = 2
"""Frames on either side that the adaptive detector averages: PySceneDetect's default."""


class _ContentScoreDetector(Detector):
    """Compute PySceneDetect's content score: the difference from the frame before, in HSV."""

    columns: ClassVar[tuple[str, ...]] = ("score",)
    with_chroma: ClassVar[bool] = True

    @property
    def name(self) -> str:
        return type(self).__name__.lower()

    def begin(self, video: Video) -> FrameFunction:
        from scenedetect import ContentDetector, FrameTimecode

        class Scorer(ContentDetector):  # type: ignore[misc]
            """Expose the score of each frame."""

            def score(self, number: FrameTimecode, picture: Any) -> float:
                self.process_frame(number, picture)
                return float(self._frame_score or 0.0)

        scorer = Scorer()
        rate = Fraction(video.fps) if video.fps > 0 else Fraction(25)
        number = count()

        def analyze(frame: ReducedFrame) -> Sequence[float]:
            return (scorer.score(FrameTimecode(next(number), rate), frame.bgr),)

        return analyze


@dataclass(frozen=True, kw_only=True)
class Adaptive(_ContentScoreDetector):
    """Cut where a frame's score exceeds its neighbours' mean (AdaptiveDetector)."""

    threshold: float = field(default=3.0, compare=False)
    min_score: float = field(default=15.0, compare=False)
    min_frames: int = field(default=15, compare=False)
    """Minimum distance of two cuts; nearer ones are dropped."""

    def cuts(self, metrics: FrameMetrics) -> list[int]:
        scores = metrics.values[:, 0]
        baseline = _neighbour_mean(scores)
        ratio = np.where(baseline > 1e-5, scores / np.maximum(baseline, 1e-5), 255.0)
        high = (ratio >= self.threshold) & (scores >= self.min_score)
        high[:ADAPTIVE_WINDOW_RADIUS] = high[len(high) - ADAPTIVE_WINDOW_RADIUS :] = False
        return _enforce_min_gap(np.flatnonzero(high), self.min_frames)


@dataclass(frozen=True, kw_only=True)
class Content(_ContentScoreDetector):
    """Cut where a frame's score is high (ContentDetector)."""

    threshold: float = field(default=27.0, compare=False)
    min_frames: int = field(default=15, compare=False)
    """Minimum distance of two cuts; nearer ones are merged into the last."""

    def cuts(self, metrics: FrameMetrics) -> list[int]:
        from scenedetect import FrameTimecode
        from scenedetect.detector import FlashFilter

        merged = FlashFilter(FlashFilter.Mode.MERGE, self.min_frames)
        cuts: list[FrameTimecode] = []
        for number, score in enumerate(metrics.values[:, 0]):
            time = FrameTimecode(number, 25.0)
            cuts += merged.filter(timecode=time, above_threshold=bool(score >= self.threshold))
        return [cut.frame_num for cut in cuts]


def _neighbour_mean(scores: FloatArray) -> FloatArray:
    """Return the mean score of ADAPTIVE_WINDOW_RADIUS frames on either side of each."""
    width = 2 * ADAPTIVE_WINDOW_RADIUS + 1
    sums = np.convolve(scores, np.ones(width), mode="same")
    return np.asarray((sums - scores) / (2 * ADAPTIVE_WINDOW_RADIUS), np.float32)


def _enforce_min_gap(numbers: Iterable[int], min_gap: int) -> list[int]:
    """Drop frame numbers less than `min_gap` after the last one kept, or after frame 0."""
    kept: list[int] = []
    last = 0
    for number in numbers:
        if number - last >= min_gap:
            kept.append(int(number))
            last = int(number)
    return kept
