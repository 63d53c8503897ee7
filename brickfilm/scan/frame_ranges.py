"""Compute ranges of frames: shots, the frames outside of them, and parts of long shots."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

FrameRange = tuple[int, int]
"""Frames [start, end)."""


def ranges_outside(shots: Sequence[FrameRange], frames: int) -> Iterator[FrameRange]:
    """Return the frame ranges that belong to no shot."""
    starts, ends = [0, *(end for _, end in shots)], [*(start for start, _ in shots), frames]
    return ((start, end) for start, end in zip(starts, ends, strict=True) if end > start)


def split_at_forced_cuts(
    shots: Iterable[FrameRange], forced_cuts: Sequence[int]
) -> Iterator[FrameRange]:
    """Yield shots, divided at the forced cuts inside them."""
    for start, end in shots:
        edges = [start, *(n for n in forced_cuts if start < n < end), end]
        yield from pairwise(edges)


def split_for_lengths(
    start: int, end: int, max_frames: int, lengths: Sequence[int]
) -> Iterator[FrameRange]:
    """Split so that the most frames are used, where each part is cut to a length that it fills.

    Tried are equal parts of each number, and parts of `max_frames` with the rest at the end.
    Lengths below half of the longest one that the shot fills do not count, since shots would fall
    to pieces. Where nothing can be used, or nothing is gained, the parts are as few as can be.
    """
    frames = end - start
    fitting = [n for n in lengths if n <= min(frames, max_frames)]
    wanted = [n for n in fitting if 2 * n > max(fitting)]
    fewest = list(split_evenly(start, end, max_frames))
    if not wanted:
        return iter(fewest)
    counts = range(len(fewest), frames // min(wanted) + 1)
    tried = [list(split_evenly(start, end, -(-frames // count))) for count in counts]
    edges = [*range(start, end, max_frames), end]
    tried.append(list(pairwise(edges)))

    def gain(parts: list[FrameRange]) -> tuple[int, int]:
        used = (max((n for n in wanted if n <= b - a), default=0) for a, b in parts)
        return sum(used), -len(parts)

    best: list[FrameRange] = max([fewest, *tried], key=gain)
    return iter(best)


def split_evenly(start: int, end: int, max_frames: int) -> Iterator[FrameRange]:
    """Split into the fewest parts of at most `max_frames`; lengths differ by at most one."""
    count = -(-(end - start) // max_frames)
    edges = [start + (end - start) * k // count for k in range(count + 1)]
    return pairwise(edges)


def ranges_where(is_in: NDArray[np.bool_]) -> list[FrameRange]:
    """Return the ranges of consecutive frames that are True, [n]."""
    edges = np.flatnonzero(np.diff(is_in, prepend=False, append=False))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def ranges_without(
    ranges: Iterable[FrameRange], removed: Iterable[FrameRange], frames: int
) -> list[FrameRange]:
    """Return the parts of ranges outside the removed ones, in a video of `frames` frames."""
    is_kept = np.ones(frames, bool)
    for start, end in removed:
        is_kept[max(0, start) : end] = False
    return [
        (start + a, start + b) for start, end in ranges for a, b in ranges_where(is_kept[start:end])
    ]
