"""Find crossfades: frames that are mixtures of dissimilar frames before and after them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from brickfilm.detectors.holds.frame_features import FrameFeatures
from brickfilm.detectors.holds.mixtures import is_crossfade_frame
from brickfilm.detectors.holds.similarity import dissimilarity
from brickfilm.scan.analyzer import FloatArray
from brickfilm.scan.frame_ranges import FrameRange

CROSSFADE_RADII = (5, 12, 25)
"""Frames on either side of a mixture that are compared: half of a crossfade, short to long."""
CROSSFADE_DISSIMILARITY_THRESHOLD = 0.55
"""Dissimilarity of two frames from which their mixture is a crossfade, not a movement."""
MIN_CROSSFADE_HITS = 3
"""Mixtures in a row that make a crossfade: one or two are blended frames or chance."""


class CrossfadeScorer:
    """Score each frame as the end of a crossfade, for each radius in CROSSFADE_RADII.

    The score is its dissimilarity to the frame two radii before, if the frame between is a mixture
    of both, else 0. Long radii are tried every few frames: a long crossfade shows in many.
    """

    def __init__(self) -> None:
        self._recent: deque[FrameFeatures] = deque(maxlen=2 * CROSSFADE_RADII[-1] + 1)
        self._frame = -1
        self._compared: dict[int, tuple[int, float]] = {}
        """By radius: the last compared frame and its score, reused within the same crossfade."""

    def __call__(self, frame: FrameFeatures) -> list[float]:
        """Return the scores of the next frame."""
        if self._recent and self._recent[-1].luma.shape != frame.luma.shape:
            self._recent.clear()
        self._recent.append(frame)
        self._frame += 1
        return [
            self._score(radius) if self._frame % crossfade_stride(radius) == 0 else 0.0
            for radius in CROSSFADE_RADII
        ]

    def _score(self, radius: int) -> float:
        last = len(self._recent) - 1
        if last < 2 * radius:
            return 0.0
        old, middle, new = (self._recent[last - n * radius] for n in (2, 1, 0))
        if not is_crossfade_frame(old, middle, new):
            return 0.0
        frame, score = self._compared.get(radius, (0, 0.0))
        if score < CROSSFADE_DISSIMILARITY_THRESHOLD or self._frame - frame > radius:
            score = dissimilarity(old, new)
            self._compared[radius] = self._frame, score
        return score


def crossfade_stride(radius: int) -> int:
    """Return the frames from one comparison at this radius to the next."""
    return max(2, radius // 8)


def find_crossfades(scores: Sequence[FloatArray]) -> list[FrameRange]:
    """Return the frame ranges of crossfades, from the scores of all frames, one array per radius.

    The shortest radius that shows a crossfade locates it best.
    """
    found: list[FrameRange] = []
    for radius, of_radius in zip(CROSSFADE_RADII, scores, strict=True):
        middles = np.flatnonzero(of_radius >= CROSSFADE_DISSIMILARITY_THRESHOLD) - radius
        for first, last in _group_hits(middles, 2 * crossfade_stride(radius)):
            start, end = max(0, first - radius + 1), last + radius
            if all(end <= a or start >= b for a, b in found):
                found.append((start, end))
    return found


def _group_hits(hits: NDArray[np.int64], max_gap: int) -> list[FrameRange]:
    """Return the first and last frame of each run of MIN_CROSSFADE_HITS or more."""
    runs: list[list[int]] = []
    for n in hits.tolist():
        if runs and n - runs[-1][-1] <= max_gap:
            runs[-1].append(n)
        else:
            runs.append([n])
    return [(run[0], run[-1]) for run in runs if len(run) >= MIN_CROSSFADE_HITS]
