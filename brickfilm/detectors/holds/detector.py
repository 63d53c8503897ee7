"""Shots of films whose poses are held, and of all others.

A detector that compares neighbouring frames is lost in stop motion: most of them are equal, and
what differs is a jump of pose. This one compares pictures as `likeness` does, forgives what comes
back at once (a flash), what the whole neighbourhood does (noise), and leaves out fades.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import count
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from brickfilm.detectors.base import Detector, FrameRange
from brickfilm.detectors.holds.fades import find_fades, shots_without_transitions
from brickfilm.detectors.holds.similarity import FrameFeatures, dissimilarity
from brickfilm.media import ReducedFrame
from brickfilm.records import Video
from brickfilm.scan.analyzer import FloatArray, FrameFunction, FrameMetrics

CHANGE_THRESHOLD = 0.12
"""Mean difference of neighbouring frames, as a share of contrast, below which none is a cut."""
BLACK_CONTRAST_THRESHOLD = 4.0
"""Contrast, in levels, below which a picture is as good as black."""
CUT_CANDIDATE_THRESHOLD = 0.52
"""Unlikeness from which the picture before is kept, to see whether it comes back."""
RETURN_THRESHOLD = 0.57
"""Unlikeness up to which a picture has come back."""
FLASH_WINDOW_SECONDS = 0.4
"""Seconds within which it must: a flash of one drawing, held on fours, and twice as much."""
BASELINE_RADIUS = 15
"""Frames to either side that say what is usual here."""
BASELINE_WEIGHT = 0.1
"""Of what is usual around a frame, that a cut must have more: fast films have a higher bar."""
BASELINE_MARGIN = 0.1
"""By how much a cut is more unlike than what is usual: in noise and shaking nothing is."""
BLEND_RATIO_RANGE = (0.08, 0.92)
"""Shares of the later picture in a frame that a change of rate blended across a cut."""
BLEND_RESIDUAL_THRESHOLD = 0.15
"""How far such a frame may lie beside the way from the one to the other: noise and compression."""
CROSSFADE_RADII = (5, 12, 25)
"""Frames to either side of one that may be their mixture: half of a crossfade, short to long."""
CROSSFADE_RESIDUAL_THRESHOLD = 0.3
"""How far a mixture may lie beside the way from one picture to the other, as a share of that way:
both go on moving, so 0.2; where nothing is mixed it is 0.5 and more."""
CROSSFADE_DISSIMILARITY_THRESHOLD = 0.55
"""Unlikeness of two pictures from which their mixture is a crossfade, not a movement."""

Uint8Array = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class HoldAware(Detector):
    """The default: exact on held poses, and on ordinary film."""

    version: ClassVar[int] = 4
    columns: ClassVar[tuple[str, ...]] = (
        *("unlike", "back", "blended", "contrast"),
        *(f"mixed {frames}" for frames in CROSSFADE_RADII),
    )

    threshold: float = field(default=0.6, compare=False)
    """Unlikeness of a cut, less a tenth of what is usual around it."""

    def begin(self, video: Video) -> FrameFunction:
        import cv2

        compare, mixed, number = (
            _FrameComparator(video.time_base),
            _make_crossfade_scorer(),
            count(),
        )

        def look(frame: ReducedFrame) -> Sequence[float]:
            contrast = float(cv2.meanStdDev(frame.luma)[1][0, 0])
            now = FrameFeatures(frame.luma, frame.chroma_thumbnail)
            return *compare(next(number), frame.pts, now, contrast), contrast, *mixed(now)

        return look

    def shots(self, metrics: FrameMetrics) -> list[FrameRange]:
        cuts, blended = self.cuts(metrics), metrics.values[:, 2]
        between = [(cut - int(blended[cut]), cut) for cut in cuts if blended[cut]]
        return shots_without_transitions(
            [*_transition_ranges(metrics, self.threshold), *between], cuts, len(metrics)
        )

    def cuts(self, metrics: FrameMetrics) -> list[int]:
        unlike, back, blended = metrics.values.T[:3]
        inside = np.zeros(len(unlike), bool)
        for frame in np.flatnonzero(back):
            inside[frame - int(back[frame]) + 1 : frame + 1] = True
        for frame in np.flatnonzero(blended):
            inside[frame - int(blended[frame]) : frame] = True
        for start, end in _transition_ranges(metrics, self.threshold):
            inside[start + 1 : end] = True
        lasting = np.where(inside, 0, unlike).astype(np.float32)
        found = [
            int(n)
            for n in np.flatnonzero((unlike >= self.threshold) & ~inside)
            if _exceeds_local_baseline(lasting, int(n), self.threshold)
        ]
        return _suppress_non_maxima(found, unlike)


def _transition_ranges(metrics: FrameMetrics, threshold: float) -> list[FrameRange]:
    """Frames of fades and of crossfades; what holds a jump is none of the latter."""
    unlike, _, _, contrast, *mixed = metrics.values.T
    soft = [(a, b) for a, b in _find_crossfades(mixed) if unlike[a + 1 : b].max() < threshold]
    return find_fades(contrast, metrics.times) + soft


def _exceeds_local_baseline(unlike: FloatArray, n: int, threshold: float) -> bool:
    """Whether a frame is unlike enough, and more so than what is usual around it."""
    baseline = _local_baseline(unlike, n)
    return bool(
        unlike[n] >= max(threshold + BASELINE_WEIGHT * baseline, baseline + BASELINE_MARGIN)
    )


def _local_baseline(unlike: FloatArray, n: int) -> float:
    """How unlike drawings are around a frame, on the livelier side of it."""
    sides = (unlike[max(1, n - BASELINE_RADIUS) : n], unlike[n + 1 : n + 1 + BASELINE_RADIUS])
    return max(float(np.median(s[s > 0])) if (s > 0).sum() > 2 else 0.0 for s in sides)


def _suppress_non_maxima(found: Sequence[int], unlike: FloatArray) -> list[int]:
    """Of cuts on neighbouring frames (a blended frame lies between), the stronger."""
    kept: list[int] = []
    for n in found:
        if kept and n - kept[-1] <= 2:
            if unlike[n] > unlike[kept[-1]]:
                kept[-1] = n
        else:
            kept.append(n)
    return kept


class _FrameComparator:
    """Gives each frame's unlikeness to the one before, how many frames ago it was seen, and how
    many frames before it are its mixtures with what was before them."""

    def __init__(self, time_base: Fraction) -> None:
        self.time_base = time_base
        self.recent: deque[tuple[int, FrameFeatures]] = deque(maxlen=3)
        """The last pictures that differ, and the last frame that showed each."""
        self.kept: deque[tuple[int, float, FrameFeatures]] = deque(maxlen=3)
        """Pictures before a suspected cut, each with its frame and time."""
        self.spread = 0.0

    def __call__(
        self, number: int, pts: int, now: FrameFeatures, contrast: float
    ) -> tuple[float, float, float]:
        widest, self.spread = max(contrast, self.spread), contrast
        if not self.recent or self.recent[-1][1].luma.shape != now.luma.shape:
            self.recent.clear()
            self.kept.clear()
            self.recent.append((number, now))
            return 0.0, 0.0, 0.0
        last = self.recent[-1][1]
        moved = mean_absolute_difference(now.luma, last.luma)
        if moved < CHANGE_THRESHOLD * max(widest, BLACK_CONTRAST_THRESHOLD):
            self.recent[-1] = number, last if moved <= 0.5 else now
            return 0.0, 0.0, 0.0
        return self._compared(number, float(pts * self.time_base), now)

    def _compared(
        self, number: int, seconds: float, now: FrameFeatures
    ) -> tuple[float, float, float]:
        last = self.recent[-1][1]
        unlike, blended = dissimilarity(last, now), 0
        for ago in range(2, len(self.recent) + 1):
            frame, old = self.recent[-ago]
            between = [look for _, look in list(self.recent)[1 - ago :]]
            if frame == number - ago and all(is_blended_frame(old, look, now) for look in between):
                far = dissimilarity(old, now)
                if far >= CUT_CANDIDATE_THRESHOLD:
                    unlike, blended, last = far, ago - 1, old
        while self.kept and seconds - self.kept[0][1] > FLASH_WINDOW_SECONDS:
            self.kept.popleft()
        ago = next(
            (number - n for n, _, look in self.kept if dissimilarity(look, now) < RETURN_THRESHOLD),
            0,
        )
        if unlike >= CUT_CANDIDATE_THRESHOLD and not last.is_blank:
            self.kept.append((number - 1 - blended, seconds, last))
        self.recent.append((number, now))
        return unlike, float(ago), float(blended)


def mean_absolute_difference(a: Uint8Array, b: Uint8Array) -> float:
    """In levels."""
    import cv2

    return float(cv2.mean(cv2.absdiff(a, b))[0])


def is_blended_frame(old: FrameFeatures, middle: FrameFeatures, new: FrameFeatures) -> bool:
    """Whether a picture is what blending leaves of the two around it, which are not one."""
    way, part = new.thumbnail - old.thumbnail, middle.thumbnail - old.thumbnail
    long = float(np.vdot(way, way))
    share = float(np.vdot(way, part)) / max(long, 1e-6)
    beside = part - share * way
    inside = BLEND_RATIO_RANGE[0] < share < BLEND_RATIO_RANGE[1]
    between = inside and float(np.vdot(beside, beside)) < BLEND_RESIDUAL_THRESHOLD**2 * long
    return between and not _is_same_picture(old, new)


def _make_crossfade_scorer() -> Callable[[FrameFeatures], list[float]]:
    """Gives how unlike two pictures are whose mixture lies between them; 0 where none does.

    A number for every distance in `CROSSFADE_RADII`; the row is that of the later picture. The longer ones are
    looked at in a few frames only: a crossfade of that length shows in many."""
    recent: deque[FrameFeatures] = deque(maxlen=2 * CROSSFADE_RADII[-1] + 1)
    turns = count()
    known: dict[int, tuple[int, float]] = {}
    """By distance: when two pictures were last compared, and how unlike they were. What follows in
    the same crossfade is as unlike."""

    def mixed(now: FrameFeatures) -> list[float]:
        if recent and recent[-1].luma.shape != now.luma.shape:
            recent.clear()
        recent.append(now)
        turn = next(turns)
        return [
            look_back(far, turn) if turn % _crossfade_stride(far) == 0 else 0.0
            for far in CROSSFADE_RADII
        ]

    def look_back(far: int, turn: int) -> float:
        last = len(recent) - 1
        if last < 2 * far or not _is_crossfade(*(recent[last - n * far] for n in (2, 1, 0))):
            return 0.0
        when, unlike = known.get(far, (0, 0.0))
        if unlike < CROSSFADE_DISSIMILARITY_THRESHOLD or turn - when > far:
            known[far] = turn, (unlike := dissimilarity(recent[last - 2 * far], recent[last]))
        return unlike

    return mixed


def _crossfade_stride(far: int) -> int:
    """Frames from one look at mixtures so far apart to the next."""
    return max(2, far // 8)


def _is_crossfade(old: FrameFeatures, middle: FrameFeatures, new: FrameFeatures) -> bool:
    """Whether the middle one of three pictures is a crossfade from the first to the last."""
    way = new.thumbnail - old.thumbnail
    long = float(np.vdot(way, way))
    if long < 4.0 * way.size:
        return False
    part = middle.thumbnail - old.thumbnail
    share = float(np.vdot(way, part)) / long
    if not 0.25 < share < 0.75:
        return False
    beside = part - share * way
    return float(
        np.vdot(beside, beside)
    ) <= CROSSFADE_RESIDUAL_THRESHOLD**2 * long and not _is_same_picture(old, new)


def _is_same_picture(a: FrameFeatures, b: FrameFeatures) -> bool:
    """Whether one is the other in another light, or black: a fade of one picture, not of two."""
    (one, spread), (other, its) = a.zero_mean_thumbnail, b.zero_mean_thumbnail
    dark = min(spread, its) < one.size * BLACK_CONTRAST_THRESHOLD**2
    return dark or float(np.vdot(one, other)) > 0.6 * math.sqrt(spread * its)


def _find_crossfades(mixed: Sequence[FloatArray]) -> list[FrameRange]:
    """Stretches of crossfades: mixtures of unlike pictures, in three looks or more.

    The shortest distance that shows one says best where it begins and ends."""
    found: list[FrameRange] = []
    for far, unlike in zip(CROSSFADE_RADII, mixed, strict=True):
        for first, last in _group_hits(
            np.flatnonzero(unlike >= CROSSFADE_DISSIMILARITY_THRESHOLD) - far,
            2 * _crossfade_stride(far),
        ):
            start, end = max(0, first - far + 1), last + far
            if all(end <= a or start >= b for a, b in found):
                found.append((start, end))
    return found


def _group_hits(hits: NDArray[np.int64], gap: int) -> list[FrameRange]:
    """First and last frames of runs of three hits or more, `gap` frames apart at most."""
    runs: list[list[int]] = []
    for n in hits.tolist():
        if runs and n - runs[-1][-1] <= gap:
            runs[-1].append(n)
        else:
            runs.append([n])
    return [(run[0], run[-1]) for run in runs if len(run) >= 3]
