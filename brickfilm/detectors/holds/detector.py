"""Shots of films whose poses are held, and of all others.

A detector that compares neighbouring frames is lost in stop motion: most of them are equal, and
what differs is a jump of pose. This one compares pictures as `likeness` does, forgives what comes
back at once (a flash), what the whole neighbourhood does (noise), and leaves out fades.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from brickfilm.detectors.base import Detector, Stretch
from brickfilm.detectors.holds.fades import fades, without
from brickfilm.detectors.holds.likeness import Look, unlikeness
from brickfilm.media import ReducedFrame
from brickfilm.observe import Floats, Observe, Rows
from brickfilm.records import Video

GATE = 0.12
"""Mean difference of neighbouring frames, as a share of contrast, below which none is a cut."""
DARK = 4.0
"""Contrast, in levels, below which a picture is as good as black."""
SUSPECT = 0.45
"""Unlikeness from which the picture before is kept, to see whether it comes back."""
BACK = 0.4
"""Unlikeness up to which a picture has come back."""
MEMORY = 9
"""Frames within which it must: a flash of one drawing, held on fours, and twice as much."""
AROUND = 15
"""Frames to either side that say what is usual here."""
USUAL_SHARE = 0.25
"""Of what is usual around a frame, that a cut must have more: fast films have a higher bar."""
ABOVE_USUAL = 0.1
"""By how much a cut is more unlike than what is usual: in noise and shaking nothing is."""
MIX = 5
"""Frames to either side of one that may be their mixture: half of a short crossfade."""
UNLIKE_ENOUGH = 0.4
"""Unlikeness of two pictures from which their mixture is a crossfade, not a movement."""
MIXED = 0.3
"""How far a mixture may lie beside the way from one picture to the other, as a share of that way:
both go on moving, so 0.2; where nothing is mixed it is 0.5 and more."""

Plane = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class HoldAware(Detector):
    """The default: exact on held poses, and on ordinary film."""

    version: ClassVar[int] = 1
    columns: ClassVar[tuple[str, ...]] = ("unlike", "back", "contrast", "mixed")

    threshold: float = field(default=0.43, compare=False)
    """Unlikeness of a cut, less a quarter of what is usual around it."""

    def begin(self, video: Video) -> Observe:
        import cv2

        compare, mixed = _comparing(), _mixing()

        def look(frame: ReducedFrame) -> Sequence[float]:
            contrast = float(cv2.meanStdDev(frame.luma)[1][0, 0])
            return *compare(frame.number, frame.luma, contrast), contrast, mixed(frame.luma)

        return look

    def shots(self, rows: Rows) -> list[Stretch]:
        _, _, contrast, mixed = rows.values.T
        gone = fades(contrast, rows.times) + _dissolves(mixed)
        return without(gone, self.cuts(rows), len(rows))

    def cuts(self, rows: Rows) -> list[int]:
        unlike, back, _, _ = rows.values.T
        inside = np.zeros(len(unlike), bool)
        for frame in np.flatnonzero(back):
            inside[frame - int(back[frame]) + 1 : frame + 1] = True
        found = [
            int(n)
            for n in np.flatnonzero((unlike >= self.threshold) & ~inside)
            if _stands_out(unlike, int(n), self.threshold)
        ]
        return _peaks(found, unlike)


def _stands_out(unlike: Floats, n: int, threshold: float) -> bool:
    """Whether a frame is unlike enough, and more so than what is usual around it."""
    usual = _usual(unlike, n)
    return bool(unlike[n] >= max(threshold + USUAL_SHARE * usual, usual + ABOVE_USUAL))


def _usual(unlike: Floats, n: int) -> float:
    """How unlike drawings are around a frame, on the livelier side of it."""
    sides = (unlike[max(1, n - AROUND) : n], unlike[n + 1 : n + 1 + AROUND])
    return max(float(np.median(s[s > 0])) if (s > 0).sum() > 2 else 0.0 for s in sides)


def _peaks(found: Sequence[int], unlike: Floats) -> list[int]:
    """Of cuts on neighbouring frames (a blended frame lies between), the stronger."""
    kept: list[int] = []
    for n in found:
        if kept and n - kept[-1] <= 2:
            if unlike[n] > unlike[kept[-1]]:
                kept[-1] = n
        else:
            kept.append(n)
    return kept


def _comparing() -> Callable[[int, Plane, float], tuple[float, float]]:
    """Gives each frame's unlikeness to the one before, and how many frames ago it was seen."""
    import cv2

    before: Look | None = None
    spread = 0.0
    kept: deque[tuple[int, Look]] = deque(maxlen=3)

    def compare(number: int, luma: Plane, contrast: float) -> tuple[float, float]:
        nonlocal before, spread
        last, before = before, Look(luma)
        widest, spread = max(contrast, spread), contrast
        if last is None or last.luma.shape != luma.shape:
            kept.clear()
            return 0.0, 0.0
        moved = float(cv2.mean(cv2.absdiff(luma, last.luma))[0])
        if moved < GATE * max(widest, DARK):
            before = before if moved > 0.5 else last
            return 0.0, 0.0
        unlike = unlikeness(last, before)
        while kept and number - kept[0][0] > MEMORY:
            kept.popleft()
        ago = next((number - n for n, look in kept if unlikeness(look, before) < BACK), 0)
        if unlike >= SUSPECT:
            kept.append((number - 1, last))
        return unlike, float(ago)

    return compare


def _mixing() -> Callable[[Plane], float]:
    """Gives how unlike two pictures are whose mixture lies between them; 0 where none does.

    The row is that of the later picture, `MIX` frames after the mixture."""
    import cv2

    recent: deque[tuple[Plane, Floats]] = deque(maxlen=2 * MIX + 1)

    def mixed(luma: Plane) -> float:
        tiny = cv2.resize(luma, (48, 27), interpolation=cv2.INTER_LINEAR).astype(np.float32)
        if recent and recent[-1][0].shape != luma.shape:
            recent.clear()
        recent.append((luma, tiny))
        if len(recent) <= 2 * MIX:
            return 0.0
        (old, a), (_, middle), (new, b) = recent[0], recent[MIX], recent[-1]
        way, part = b - a, middle - a
        long = float(np.vdot(way, way))
        if long < 4.0 * way.size:
            return 0.0
        share = float(np.vdot(way, part)) / long
        beside = part - share * way
        if not 0.25 < share < 0.75 or float(np.vdot(beside, beside)) > MIXED**2 * long:
            return 0.0
        return 0.0 if _one_picture(a, b) else unlikeness(Look(old), Look(new))

    return mixed


def _one_picture(a: Floats, b: Floats) -> bool:
    """Whether one is the other in another light, or black: a fade of one picture, not of two."""
    a, b = a - a.mean(), b - b.mean()
    spread = float(np.vdot(a, a)), float(np.vdot(b, b))
    dark = min(spread) < a.size * DARK**2
    return dark or float(np.vdot(a, b)) > 0.8 * float(np.sqrt(spread[0] * spread[1]))


def _dissolves(mixed: Floats) -> list[Stretch]:
    """Stretches of crossfades: mixtures of unlike pictures, three frames or more."""
    hits = np.flatnonzero(mixed >= UNLIKE_ENOUGH) - MIX
    runs: list[list[int]] = []
    for n in hits.tolist():
        if runs and n - runs[-1][-1] <= 2:
            runs[-1].append(n)
        else:
            runs.append([n])
    return [(max(0, run[0] - MIX + 1), run[-1] + MIX) for run in runs if len(run) >= 3]
