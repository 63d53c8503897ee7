"""Detect the shots of stop motion and of ordinary video.

In stop motion most neighbouring frames are equal and the others differ by a jump of pose, so a
threshold on frame differences cuts at every pose. This detector measures what two frames share:
- local contrast normalisation removes exposure, flicker and flashes (`frame_features`),
- block matching at small shifts, around no shift and around the global shift found by phase
  correlation, finds the background again (`similarity`, `phase_correlation`),
- chroma comparison recognises plain walls, which have no texture (`similarity`),
- temporal consistency rejects flashes, blended frames (`frame_comparator`), noise and shaking.
Fades and crossfades belong to no shot (`fades`, `crossfades`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from brickfilm.detectors.base import Detector, Transition, local_baseline
from brickfilm.detectors.holds.confidence import cut_probabilities, probability_of
from brickfilm.detectors.holds.crossfades import CROSSFADE_RADII, CrossfadeScorer, find_crossfades
from brickfilm.detectors.holds.fades import find_fades, shots_without_transitions
from brickfilm.detectors.holds.frame_comparator import FrameComparator
from brickfilm.detectors.holds.frame_features import FrameFeatures
from brickfilm.media import ReducedFrame
from brickfilm.records import Video
from brickfilm.scan.analyzer import FloatArray, FrameFunction, FrameMetrics
from brickfilm.scan.frame_ranges import FrameRange, ranges_where

BASELINE_WEIGHT = 0.1
"""Share of the local baseline that is added to the threshold: fast animation differs more."""
BASELINE_MARGIN = 0.1
"""Dissimilarity by which a cut exceeds the local baseline: in noise and shaking no frame does."""
MIN_BASELINE_FRAMES = 3
"""Changed frames on one side that make a baseline: a median of fewer says nothing."""
NON_MAXIMUM_RADIUS = 2
"""Frames within which only the strongest cut is kept: a blended frame makes two of one."""


@dataclass(frozen=True, kw_only=True)
class HoldAware(Detector):
    """Threshold what frames share: exact on held poses, and on ordinary video."""

    version: ClassVar[int] = 4
    columns: ClassVar[tuple[str, ...]] = (
        *("dissimilarity", "frames since shown", "blended frames", "contrast"),
        *(f"crossfade {radius}" for radius in CROSSFADE_RADII),
    )

    threshold: float = field(default=0.6, compare=False)
    """Dissimilarity of a cut, before a tenth of the local baseline is added."""

    def begin(self, video: Video) -> FrameFunction:
        import cv2

        compare, score_crossfade = FrameComparator(video.time_base), CrossfadeScorer()
        number = count()

        def analyze(frame: ReducedFrame) -> Sequence[float]:
            contrast = float(cv2.meanStdDev(frame.luma)[1][0, 0])
            now = FrameFeatures(frame.luma, frame.chroma_thumbnail)
            comparison = compare(next(number), frame.pts, now, contrast)
            return *comparison, contrast, *score_crossfade(now)

        return analyze

    @property
    def name(self) -> str:
        return "holds"

    def shots_between(self, cuts: Sequence[int], metrics: FrameMetrics) -> list[FrameRange]:
        ranges = [(t.start, t.end) for t in self.transitions(cuts, metrics)]
        return shots_without_transitions(ranges, cuts, len(metrics))

    def transitions(self, cuts: Sequence[int], metrics: FrameMetrics) -> list[Transition]:
        """Return fades, dissolves, and the frames that were blended across the cuts."""
        blended = metrics.values[:, 2]
        blends = [Transition(cut - int(blended[cut]), cut, "blend") for cut in cuts if blended[cut]]
        return [*_gradual_transitions(metrics, self.threshold), *blends]

    def flashes(self, metrics: FrameMetrics) -> list[FrameRange]:
        """Return pictures of up to FLASH_WINDOW_SECONDS after which the one before returns."""
        frames_since_shown = metrics.values[:, 1]
        is_flash = np.zeros(len(metrics), bool)
        for frame in np.flatnonzero(frames_since_shown):
            is_flash[frame - int(frames_since_shown[frame]) + 1 : frame] = True
        return ranges_where(is_flash)

    def probabilities(self, metrics: FrameMetrics) -> FloatArray:
        """Return the probability that each frame begins a shot, by `confidence`."""
        return cut_probabilities(metrics.values[:, 0], self.frames_without_cuts(metrics))

    def cuts(self, metrics: FrameMetrics) -> list[int]:
        scores = metrics.values[:, 0]
        excluded = self.frames_without_cuts(metrics)
        remaining = np.where(excluded, 0, scores).astype(np.float32)
        candidates = np.flatnonzero((scores >= self.threshold) & ~excluded).tolist()
        cuts = [n for n in candidates if _exceeds_local_baseline(remaining, n, self.threshold)]
        return _suppress_non_maxima(cuts, scores)

    def frames_without_cuts(self, metrics: FrameMetrics) -> NDArray[np.bool_]:
        frames_since_shown = metrics.values[:, 1]
        excluded = self.blended_frames(metrics)
        for frame in np.flatnonzero(frames_since_shown):
            excluded[frame - int(frames_since_shown[frame]) + 1 : frame + 1] = True
        for transition in _gradual_transitions(metrics, self.threshold):
            excluded[transition.start + 1 : transition.end] = True
        return excluded

    def blended_frames(self, metrics: FrameMetrics) -> NDArray[np.bool_]:
        found, blended = np.zeros(len(metrics), bool), metrics.values[:, 2]
        for frame in np.flatnonzero(blended):
            found[frame - int(blended[frame]) : frame] = True
        return found


def _gradual_transitions(metrics: FrameMetrics, threshold: float) -> list[Transition]:
    """Return fades, and crossfades without a hard change inside."""
    scores, _, _, contrast, *crossfade_scores = metrics.values.T
    found = [Transition(*fade, "fade") for fade in find_fades(contrast, metrics.times)]
    for start, end in find_crossfades(crossfade_scores):
        if scores[start + 1 : end].max() < threshold:
            reach = slice(start, end + CROSSFADE_RADII[-1])
            around = np.array([max(column[reach].max() for column in crossfade_scores)])
            probability = float(probability_of(around, np.zeros(1, np.float32))[0])
            found.append(Transition(start, end, "dissolve", probability))
    return found


def _exceeds_local_baseline(scores: FloatArray, n: int, threshold: float) -> bool:
    """Return True if a frame exceeds the threshold raised by its baseline, and the baseline."""
    baseline = local_baseline(scores, n, MIN_BASELINE_FRAMES)
    required = max(threshold + BASELINE_WEIGHT * baseline, baseline + BASELINE_MARGIN)
    return bool(scores[n] >= required)


def _suppress_non_maxima(candidates: Sequence[int], scores: FloatArray) -> list[int]:
    """Keep the strongest of cuts within NON_MAXIMUM_RADIUS frames."""
    kept: list[int] = []
    for n in candidates:
        if kept and n - kept[-1] <= NON_MAXIMUM_RADIUS:
            if scores[n] > scores[kept[-1]]:
                kept[-1] = n
        else:
            kept.append(n)
    return kept
