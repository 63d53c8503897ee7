"""Find the frames of spans that a source lists in seconds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from brickfilm.errors import Rejected
from brickfilm.records import GivenSpan
from brickfilm.scan.frame_ranges import FrameRange, ranges_where
from brickfilm.scan.timestamps import FrameTimestamps

END_TOLERANCE_SECONDS = 0.5
"""A listed end may lie so far behind the last frame: lists often take it from the sound."""


def ranges_of_spans(
    times: FrameTimestamps, spans: Iterable[GivenSpan]
) -> Iterator[tuple[GivenSpan, FrameRange | Rejected]]:
    """Yield the frames whose times are nearest to each span's, or the reason why there are none."""
    end_seconds = float(times.span(0, len(times)).end_pts * times.time_base)
    edges = np.append(times.seconds, end_seconds)
    for span in spans:
        try:
            yield span, _range_of_span(span, edges, has_jumps=bool(times.backward_jumps))
        except Rejected as error:
            yield span, error


def _range_of_span(span: GivenSpan, edges: np.ndarray, *, has_jumps: bool) -> FrameRange:
    """Return frames [start, end). edges: [n + 1] times of all frames and the end, in seconds."""
    is_open = math.isinf(span.end)
    if is_open and span.start == 0:
        return 0, len(edges) - 1
    name = f"the listed span {span.start:g}-{span.end:g} s"
    if has_jumps:
        raise Rejected(
            f"{name} names no frames for sure: timestamps of the video go back",
            reason="span of a broken clock",
        )
    last = float(edges[-1])
    if span.start >= last or not (is_open or span.end <= last + END_TOLERANCE_SECONDS):
        raise Rejected(
            f"{name} does not lie in the video, which ends at {last:.3f} s: check that the list is "
            "of this file; if every file is one clip, leave its times out with "
            "--column start= --column end=",
            reason="span beyond the end",
        )
    start = int(np.abs(edges[:-1] - span.start).argmin())
    end = len(edges) - 1 if is_open else int(np.abs(edges - span.end).argmin())
    if end <= start:
        raise Rejected(f"{name} holds no frame", reason="span without a frame")
    return start, end


def ranges_beside(listed: Sequence[FrameRange], frames: int) -> Iterator[FrameRange]:
    """Yield the ranges of a video of `frames` frames that are in none of the given ones."""
    is_listed = np.zeros(frames, np.bool_)
    for start, end in listed:
        is_listed[start:end] = True
    yield from ranges_where(~is_listed)
