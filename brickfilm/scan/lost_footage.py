"""Name the footage of a video that cannot be used: damaged frames, and time without frames."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from brickfilm.errors import Failed, Rejected
from brickfilm.records import Clip, Span, Video
from brickfilm.scan.frame_ranges import FrameRange
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
    """Yield damaged ranges of frames, and the end that is missing."""
    for start, end in times.damaged:
        yield Rejected(
            f"frames {start}-{end} of {video.path.name!r} are damaged: "
            f"{end - start} frames of {len(times)} are left out",
            reason="damaged",
            record=Clip(video=video, span=times.span(start, end)),
        )
    if missing := missing_seconds(video, times):
        stated, shown = video.header_seconds, video.header_seconds - missing
        yield Rejected(
            f"{video.path.name!r} is truncated: its frames end after {shown:.1f} s of "
            f"{stated:.1f} s: fetch or copy it again",
            reason="truncated",
            record=_time_without_frames(video, times, missing),
        )


def _time_without_frames(video: Video, times: FrameTimestamps, seconds: float) -> Clip:
    """Return seconds after the last frame as a record whose time the report counts."""
    frames = len(times)
    start = times.span(frames - 1, frames).end_pts
    end = start + round(seconds / times.time_base)
    span = Span(start_frame=frames, end_frame=frames, start_pts=start, end_pts=end)
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
