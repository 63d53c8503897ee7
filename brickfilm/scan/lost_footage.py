"""Name the footage of a video that cannot be used: damaged frames, and time without frames."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from brickfilm.errors import Failed, Rejected
from brickfilm.records import Clip, Span, Video
from brickfilm.scan.frame_ranges import FrameRange, split_at_forced_cuts
from brickfilm.scan.timestamps import FrameTimestamps

MIN_MISSING_SECONDS = 0.5
"""Seconds between the last frame and the header's end that rounding does not explain."""
MAX_LOST_SHARE = 0.1
"""Share of a video's frames in pieces that are too short above which its clock is not believed."""


def missing_seconds(video: Video, times: FrameTimestamps) -> float:
    """Return the seconds that the header states beyond the last frame; 0 if it states none.

    Some formats count from the first frame, others from zero.
    """
    end = float(times.span(0, len(times)).end_pts * times.time_base)
    missing = video.header_seconds - max(times.shown_seconds(), end)
    rounding = 2 * float(times.usual_step * times.time_base)
    return missing if missing > max(MIN_MISSING_SECONDS, rounding) else 0.0


def lost_footage(video: Video, times: FrameTimestamps) -> Iterator[Rejected]:
    """Yield damaged ranges of frames, divided where the clock jumps, and a missing end."""
    for start, end in split_at_forced_cuts(times.damaged, times.forced_cuts):
        yield Rejected(
            f"frames {start}-{end} of {video.path.name!r} are damaged: "
            f"{end - start} frames of {len(times)} are left out",
            reason="damaged",
            record=Clip(video=video, span=times.span(start, end)),
        )
    number = video.first_number
    for first, end in times.missing_stills:
        yield Rejected(
            f"stills {number + first} to {number + end - 1} of {video.path.name!r} are missing: "
            "clips end there",
            reason="missing stills",
            record=_time_without_frames(video, times, first, end),
        )
    if missing := missing_seconds(video, times):
        end = times.span(0, len(times)).end_pts
        stated, shown = video.header_seconds, video.header_seconds - missing
        yield Rejected(
            f"{video.path.name!r} is truncated: its frames end after {shown:.1f} s of "
            f"{stated:.1f} s: fetch or copy it again",
            reason="truncated",
            record=_time_without_frames(video, times, end, end + round(missing / times.time_base)),
        )


def missing_still_seconds(times: FrameTimestamps) -> float:
    """Return the seconds of the stills that are missing in a sequence."""
    return float(sum(end - first for first, end in times.missing_stills) * times.time_base)


def _time_without_frames(video: Video, times: FrameTimestamps, start: int, end: int) -> Clip:
    """Return ticks without frames as a record whose time the report counts."""
    before = int(np.searchsorted(times.pts, start)) if times.are_stills else len(times)
    span = Span(start_frame=before, end_frame=before, start_pts=start, end_pts=end)
    return Clip(video=video, span=span)


def check_clock(video: Video, times: FrameTimestamps, min_frames: int) -> None:
    """Raise Failed if jumps of the clock leave too much of a video in pieces that are too short."""
    lost = sum(end - start for start, end in _pieces(times) if end - start < min_frames)
    if times.backward_jumps and lost > MAX_LOST_SHARE * len(times):
        raise Failed(
            f"{video.path.name!r}: the clock jumps back {len(times.backward_jumps)} times in "
            f"{len(times)} frames, so {lost} of them are in pieces of fewer than {min_frames}: "
            "remux it with `ffmpeg -fflags +genpts`, or convert it",
            reason="clock jumps",
        )


def _pieces(times: FrameTimestamps) -> Iterator[FrameRange]:
    edges = [0, *times.backward_jumps, len(times)]
    return pairwise(edges)
