"""Find wipes: one picture replaces another part by part, each part at once."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from brickfilm.media import ReducedFrame, downscale_by_2
from brickfilm.records import Video
from brickfilm.scan.analyzer import FloatArray, FrameAnalyzer, FrameFunction
from brickfilm.scan.frame_ranges import FrameRange

SIZE = (48, 27)
"""Pixels across and down in which pictures are compared."""
STRIDE = 2
"""Frames from one that is compared to the next: the shortest wipe that is found has six."""
RADII = (6, 12, 24)
"""Frames on either side of one in a wipe that are compared: half of a wipe, short to long."""
CHANGED_LEVELS = 20.0
"""Difference in levels of pixels that show which picture they are of."""
MIN_CHANGED_SHARE = 0.4
"""Share of such pixels: what moves in a shot changes less."""
SAME_PICTURE_CORRELATION = 0.6
"""Correlation above which both ends show one picture."""
MAX_RESIDUAL = 0.35
"""Difference of a pixel to the nearer picture, relative to that between both; in dissolves 0.5."""
MIN_EXPLAINED_SHARE = 0.8
"""Share of the changed pixels that are of either picture."""
SHARE_RANGE = (0.15, 0.85)
"""Share of the later picture in a frame of a wipe."""
MAX_EDGE_SHARE = 0.12
"""Neighbouring pixels of different pictures: one moving edge has 0.01, noise 0.5."""
MIN_HITS = 3
"""Compared frames in a row that make a wipe."""
MIN_RISE = 0.3
"""Rise of the later picture's share from the first to the last of them."""
MAX_LENGTH = 2.5
"""Frames of a wipe, relative to the radius: one of up to two radii is seen whole."""

NOT_COMPARED = (0.0,) * len(RADII)
"""Row of a frame between those that are compared."""

Thumbnail = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class WipeAnalyzer(FrameAnalyzer):
    """Measure how much of each frame shows the later of two pictures, and the rest the earlier."""

    columns = tuple(f"share {radius}" for radius in RADII)

    def begin(self, video: Video) -> FrameFunction:
        import cv2

        recent: deque[Thumbnail] = deque(maxlen=2 * RADII[-1] // STRIDE + 1)
        numbers = count()

        def analyze(frame: ReducedFrame) -> Sequence[float]:
            if next(numbers) % STRIDE:
                return NOT_COMPARED
            small = cv2.resize(downscale_by_2(frame.luma, 2), SIZE, interpolation=cv2.INTER_LINEAR)
            recent.append(np.asarray(small, np.uint8))
            return [_share_at(recent, radius // STRIDE) for radius in RADII]

        return analyze


def _share_at(recent: Sequence[Thumbnail], radius: int) -> float:
    """Return `later_share` of the picture `radius` before the last; 0 if there is none."""
    last = len(recent) - 1
    if last < 2 * radius:
        return 0.0
    return later_share(recent[last - 2 * radius], recent[last - radius], recent[last])


def later_share(old: Thumbnail, middle: Thumbnail, new: Thumbnail) -> float:
    """Return the share of `new` in a frame that is part `old`, part `new`; 0 for other frames."""
    if not _may_be_wipe(old, middle, new):
        return 0.0
    return _share(*(picture.astype(np.float32) for picture in (old, middle, new)))


def _share(old: FloatArray, middle: FloatArray, new: FloatArray) -> float:
    difference = np.abs(new - old)
    is_changed = difference >= CHANGED_LEVELS
    changed = int(is_changed.sum())
    if changed < MIN_CHANGED_SHARE * is_changed.size:
        return 0.0
    to_old, to_new = np.abs(middle - old), np.abs(middle - new)
    is_explained = np.minimum(to_old, to_new) <= MAX_RESIDUAL * difference
    is_new = to_new < to_old
    share = float((is_new & is_changed).sum()) / changed
    is_wipe = (
        SHARE_RANGE[0] <= share <= SHARE_RANGE[1]
        and (is_explained & is_changed).sum() >= MIN_EXPLAINED_SHARE * changed
        and _edge_share(is_new, is_changed) <= MAX_EDGE_SHARE
        and not _is_same_picture(old, new)
    )
    return share if is_wipe else 0.0


def _may_be_wipe(old: Thumbnail, middle: Thumbnail, new: Thumbnail) -> bool:
    """Return False if the mean differences are too small: for most frames, in little time."""
    import cv2

    least = MIN_CHANGED_SHARE * CHANGED_LEVELS * old.size
    if cv2.norm(old, new, cv2.NORM_L1) < least:
        return False
    least *= SHARE_RANGE[0] / 2  # pixels of one picture differ by half or more from the other
    return all(cv2.norm(middle, other, cv2.NORM_L1) >= least for other in (old, new))


def _is_same_picture(old: FloatArray, new: FloatArray) -> bool:
    """Return True if pictures correlate; a blank one correlates with none."""
    one, other = old - old.mean(), new - new.mean()
    energy = float(np.vdot(one, one)) * float(np.vdot(other, other))
    return float(np.vdot(one, other)) > SAME_PICTURE_CORRELATION * math.sqrt(energy)


def _edge_share(is_new: NDArray[np.bool_], is_changed: NDArray[np.bool_]) -> float:
    """Return the share of neighbouring changed pixels that are of different pictures."""
    edges = pairs = 0
    for one, other in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        both = is_changed[one] & is_changed[other]
        pairs += int(both.sum())
        edges += int((both & (is_new[one] != is_new[other])).sum())
    return edges / max(1, pairs)


def find_wipes(shares: FloatArray) -> list[FrameRange]:
    """Return the frame ranges of wipes, from a whole video's `WipeAnalyzer`, [n, radii].

    The radius at which the later picture's share rises most sees the whole wipe and locates it. A
    longer change is none: a camera that draws near a plain wall covers the picture, too.
    """
    seen = [
        (rise, radius, _extent(run, radius, column))
        for radius, column in zip(RADII, shares.T, strict=True)
        for run in _runs(np.flatnonzero(column))
        if len(run) >= MIN_HITS and (rise := round(float(column[run[-1]] - column[run[0]]), 1)) > 0
    ]
    found: list[FrameRange] = []
    for rise, radius, (start, end) in sorted(seen, key=lambda s: (s[0], -s[1], s[2]), reverse=True):
        is_whole = rise >= MIN_RISE and end - start <= MAX_LENGTH * radius
        if is_whole and all(end <= a or start >= b for a, b in found):
            found.append((max(0, start), min(len(shares), end)))
    return sorted(found)


def _extent(run: Sequence[int], radius: int, column: FloatArray) -> FrameRange:
    """Return the frames of a wipe, its share extended to 0 and to 1 as it rose between."""
    frames_per_share = (run[-1] - run[0]) / float(column[run[-1]] - column[run[0]])
    before = round(float(column[run[0]]) * frames_per_share)
    after = round((1 - float(column[run[-1]])) * frames_per_share)
    return run[0] - radius - before + 1, run[-1] - radius + after


def _runs(hits: NDArray[np.int64]) -> list[list[int]]:
    """Return runs of hits that are at most two comparisons apart."""
    runs: list[list[int]] = []
    for n in hits.tolist():
        if runs and n - runs[-1][-1] <= 2 * STRIDE:
            runs[-1].append(n)
        else:
            runs.append([n])
    return runs
