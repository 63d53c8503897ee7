"""Compare each frame with the last different one, and check temporal consistency.

Held frames are skipped. A frame whose picture was on screen shortly before ends a flash. A frame
rate conversion blends one or two frames across a cut; the frames around them are compared instead.
"""

from __future__ import annotations

from collections import deque
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from brickfilm.detectors.holds.frame_features import FrameFeatures
from brickfilm.detectors.holds.mixtures import BLACK_CONTRAST_THRESHOLD, is_blended_frame
from brickfilm.detectors.holds.similarity import dissimilarity

CHANGE_THRESHOLD = 0.12
"""Mean difference of neighbouring frames, relative to contrast, below which there is no cut."""
HELD_FRAME_THRESHOLD = 0.5
"""Mean difference in levels up to which a frame is held, and its features are reused: rounding."""
CUT_CANDIDATE_THRESHOLD = 0.52
"""Dissimilarity from which the frame before is kept, in case its picture returns."""
RETURN_THRESHOLD = 0.57
"""Dissimilarity below which a kept picture has returned."""
FLASH_WINDOW_SECONDS = 0.4
"""Seconds within which a picture returns after a flash: twice a frame held for four at 24 fps."""
MAX_BLENDED_FRAMES = 2
"""Frames that a rate conversion blends across one cut."""

Comparison = tuple[float, float, float]
"""Dissimilarity to the last different frame, frames since the picture was shown before (0: never),
and the number of blended frames before this one."""


class FrameComparator:
    """Compare the frames of a video in order; all frames must be passed."""

    def __init__(self, time_base: Fraction) -> None:
        self._time_base = time_base
        self._recent: deque[tuple[int, FrameFeatures]] = deque(maxlen=MAX_BLENDED_FRAMES + 1)
        """The last different frames, each with the number of the last frame that showed it."""
        self._candidates: deque[tuple[int, float, FrameFeatures]] = deque(maxlen=3)
        """Frames before a possible cut, with number and seconds."""
        self._contrast = 0.0

    def __call__(self, number: int, pts: int, now: FrameFeatures, contrast: float) -> Comparison:
        """Compare the next frame; zeros if it shows the picture before."""
        max_contrast, self._contrast = max(contrast, self._contrast), contrast
        if not self._recent or self._recent[-1][1].luma.shape != now.luma.shape:
            self._recent.clear()
            self._candidates.clear()
            self._recent.append((number, now))
            return 0.0, 0.0, 0.0
        last = self._recent[-1][1]
        change = mean_absolute_difference(now.luma, last.luma)
        if change < CHANGE_THRESHOLD * max(max_contrast, BLACK_CONTRAST_THRESHOLD):
            self._recent[-1] = number, last if change <= HELD_FRAME_THRESHOLD else now
            return 0.0, 0.0, 0.0
        return self._compare(number, float(pts * self._time_base), now)

    def _compare(self, number: int, seconds: float, now: FrameFeatures) -> Comparison:
        score, blended, last = self._dissimilarity_across_blends(number, now)
        while self._candidates and seconds - self._candidates[0][1] > FLASH_WINDOW_SECONDS:
            self._candidates.popleft()
        frames_ago = self._frames_since_shown(number, now)
        if score >= CUT_CANDIDATE_THRESHOLD and not last.is_blank:
            self._candidates.append((number - 1 - blended, seconds, last))
        self._recent.append((number, now))
        return score, float(frames_ago), float(blended)

    def _dissimilarity_across_blends(
        self, number: int, now: FrameFeatures
    ) -> tuple[float, int, FrameFeatures]:
        """Return the dissimilarity, the blended frames before `now`, and the frame before those."""
        last = self._recent[-1][1]
        score, blended = dissimilarity(last, now), 0
        for back in range(2, len(self._recent) + 1):
            frame, old = self._recent[-back]
            between = [features for _, features in list(self._recent)[1 - back :]]
            if frame == number - back and all(is_blended_frame(old, f, now) for f in between):
                across = dissimilarity(old, now)
                if across >= CUT_CANDIDATE_THRESHOLD:
                    score, blended, last = across, back - 1, old
        return score, blended, last

    def _frames_since_shown(self, number: int, now: FrameFeatures) -> int:
        """Return the frames since a candidate with this picture was on screen; 0 for none."""
        for frame, _, features in self._candidates:
            if dissimilarity(features, now) < RETURN_THRESHOLD:
                return number - frame
        return 0


def mean_absolute_difference(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Return the mean absolute difference of two images, in levels."""
    import cv2

    return float(cv2.mean(cv2.absdiff(a, b))[0])
