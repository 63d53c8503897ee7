"""Read the timestamps, sizes and flags of a video's frames, and find the cuts that they force."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from brickfilm.engine.stage import Answer
from brickfilm.media import FrameFlag, ReducedFrame
from brickfilm.records import Span, Video
from brickfilm.scan.analyzer import FrameAnalyzer, FrameFunction, unpack_array
from brickfilm.scan.frame_ranges import FrameRange, ranges_where

MAX_STEP_SECONDS = 10
MAX_USUAL_STEPS = 100
"""A longer step between two frames is a gap of the clock: no frame is meant to be shown so long."""
MIN_STEPS = 4
"""Steps of a piece that tell its frame rate: damage leaves pieces of two frames far apart."""
MAX_UNTIMED_SHARE = 0.1
"""Share of frames without a presentation time above which seeking by time finds other frames."""
RETIMED_FORMATS = ("avi/h264", "avi/hevc", "avi/mpeg4")
"""Formats that older versions timed wrongly: their stored timestamps are not used."""


@dataclass(frozen=True, kw_only=True)
class TimestampAnalyzer(FrameAnalyzer):
    """Record each frame's timestamp, as a difference, its duration, size and flags."""

    columns = ("step", "duration", "width", "height", "flags")
    dtype = "d"

    def key(self, item: Video) -> str:
        key = super().key(item)
        return f"{key}:retimed" if item.format in RETIMED_FORMATS else key

    def begin(self, video: Video) -> FrameFunction:
        before = 0

        def analyze(frame: ReducedFrame) -> Sequence[float]:
            nonlocal before
            step, before = frame.pts - before, frame.pts
            return step, frame.duration, *frame.size, frame.flags

        return analyze


@dataclass(frozen=True)
class FrameTimestamps:
    """The timestamps, sizes and flags of a video's frames."""

    pts: NDArray[np.int64]
    """[n], in ticks."""
    last_duration: int
    """Ticks."""
    sizes: NDArray[np.int64]
    """[n, 2], displayed width and height."""
    flags: NDArray[np.int64]
    """[n], `FrameFlag`s; 0 in answers of older versions."""
    time_base: Fraction
    are_stills: bool = False
    """True for numbered stills: a step of more than 1 is a gap in the numbers."""

    @classmethod
    def from_answer(
        cls, answer: Answer, time_base: Fraction, *, are_stills: bool = False
    ) -> FrameTimestamps:
        """Decode a TimestampAnalyzer's answer; an unknown last duration is the usual step."""
        values = unpack_array(answer).astype(np.int64)
        flags = values[:, 4] if values.shape[1] > 4 else np.zeros(len(values), np.int64)
        last_duration = int(values[-1, 1]) if len(values) else 0
        pts, sizes = np.cumsum(values[:, 0]), values[:, 2:4]
        return cls(pts, last_duration, sizes, flags, time_base, are_stills)

    def __len__(self) -> int:
        return len(self.pts)

    @cached_property
    def seconds(self) -> NDArray[np.float64]:
        """Return the timestamps in seconds, [n]."""
        return np.asarray(self.pts * float(self.time_base), np.float64)

    @cached_property
    def end_seconds(self) -> NDArray[np.float64]:
        """Return the seconds until which each frame is shown, [n]: as long as usual at a gap."""
        return np.asarray((self.pts + self._durations) * float(self.time_base), np.float64)

    @cached_property
    def steps(self) -> NDArray[np.int64]:
        """Return the ticks from each frame to the next, [n - 1]; at most 0 for a jump back."""
        return np.diff(self.pts)

    @cached_property
    def usual_step(self) -> int:
        """Return the median of the steps that go forward, in ticks."""
        forward = self.steps[self.steps > 0]
        return int(np.median(forward)) if len(forward) else self.last_duration or 1

    @property
    def max_step(self) -> float:
        """Return the longest time that a frame is shown, in ticks; a longer step is a gap."""
        if self.are_stills:
            return 1
        longest = min(MAX_STEP_SECONDS / float(self.time_base), MAX_USUAL_STEPS * self.usual_step)
        return max(longest, 2.0 * self.usual_step)

    @cached_property
    def backward_jumps(self) -> list[int]:
        """Return the frames whose timestamp is not after the one before."""
        return [int(n) for n in np.flatnonzero(self.steps <= 0) + 1]

    @property
    def needs_counting(self) -> bool:
        """Return True if a timestamp does not tell which frame is meant."""
        untimed = np.count_nonzero(self.flags & FrameFlag.UNTIMED)
        return bool(self.backward_jumps or untimed > MAX_UNTIMED_SHARE * len(self))

    @cached_property
    def is_damaged(self) -> NDArray[np.bool_]:
        """Return True for damaged frames, and for those before them that may be damaged, [n].

        A B-frame may be predicted from the frame after it. A decoder that flags nothing may have
        shown damage before it was found, back to the last keyframe.
        """
        is_damaged = (self.flags & FrameFlag.DAMAGED) > 0
        is_bidirectional = (self.flags & FrameFlag.BIDIRECTIONAL) > 0
        is_key = (self.flags & FrameFlag.KEY) > 0
        is_group = (self.flags & FrameFlag.GROUP_DAMAGED) > 0
        for n in reversed(np.flatnonzero(is_damaged | is_group)):
            is_in_group = is_group[n]
            while n > 0 and not is_damaged[n - 1] and (is_in_group or is_bidirectional[n - 1]):
                n -= 1
                is_damaged[n] = True
                is_in_group = is_in_group and not is_key[n]
        return is_damaged

    @cached_property
    def damaged(self) -> list[FrameRange]:
        """Return the ranges of damaged frames."""
        return ranges_where(self.is_damaged)

    @cached_property
    def forced_cuts(self) -> list[int]:
        """Return the frames that must begin a clip.

        There the clock jumps, the size changes, or a range of damaged frames begins or ends.
        """
        resized = np.flatnonzero(np.any(np.diff(self.sizes, axis=0) != 0, axis=1)) + 1
        jumps = np.flatnonzero(self._is_break) + 1
        return sorted({*map(int, resized), *map(int, jumps), *(n for r in self.damaged for n in r)})

    @cached_property
    def _is_break(self) -> NDArray[np.bool_]:
        """Return True for steps after which the clock goes back or jumps forward, [n - 1]."""
        return (self.steps <= 0) | (self.steps > self.max_step)

    @cached_property
    def _durations(self) -> NDArray[np.int64]:
        """Return the ticks that each frame is shown, [n], without gaps of the clock."""
        if not len(self):
            return np.zeros(0, np.int64)
        steps = np.where(self._is_break, self.usual_step, self.steps)
        return np.append(steps, self._last_step(0, len(self)))

    @property
    def missing_stills(self) -> list[FrameRange]:
        """Return the ranges of missing numbers, counted from the first still's."""
        gaps = np.flatnonzero(self.steps > 1) if self.are_stills else ()
        return [(int(self.pts[n]) + 1, int(self.pts[n + 1])) for n in gaps]

    def shown_seconds(self) -> float:
        """Return how long all frames are shown, without gaps of the clock."""
        return float(int(self._durations.sum()) * self.time_base)

    def span(self, start: int, end: int) -> Span:
        """Return frames [start, end) with their ticks; the last frame lasts until the next one.

        Before a jump of the clock, and at the end of the video, it lasts as long as usual.
        """
        is_followed = end < len(self) and not self._is_break[end - 1]
        last_step = self._last_step(start, end)
        end_pts = int(self.pts[end] if is_followed else self.pts[end - 1] + last_step)
        start_pts = int(self.pts[start])
        return Span(start_frame=start, end_frame=end, start_pts=start_pts, end_pts=end_pts)

    def _last_step(self, start: int, end: int) -> int:
        """Return the ticks that the last frame of [start, end) is shown if no frame follows it."""
        if end == len(self) and 0 < self.last_duration <= self.max_step:
            return self.last_duration
        within = self.steps[start : end - 1]
        usual = within[(within > 0) & (within <= self.max_step)]
        return int(np.median(usual)) if len(usual) >= MIN_STEPS else self.usual_step
