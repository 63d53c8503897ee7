"""Read the timestamps and sizes of a video's frames, and find the cuts that they force."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from brickfilm.engine.stage import Answer
from brickfilm.media import ReducedFrame
from brickfilm.records import Span, Video
from brickfilm.scan.analyzer import FrameAnalyzer, FrameFunction, unpack_array


@dataclass(frozen=True, kw_only=True)
class TimestampAnalyzer(FrameAnalyzer):
    """Record each frame's timestamp, as a difference, its duration and its size."""

    columns = ("step", "duration", "width", "height")
    dtype = "d"

    def begin(self, video: Video) -> FrameFunction:
        before = 0

        def analyze(frame: ReducedFrame) -> Sequence[float]:
            nonlocal before
            step, before = frame.pts - before, frame.pts
            return step, frame.duration, *frame.size

        return analyze


@dataclass(frozen=True)
class FrameTimestamps:
    """The timestamps and sizes of a video's frames."""

    pts: NDArray[np.int64]
    """[n], in ticks."""
    last_duration: int
    """Ticks."""
    sizes: NDArray[np.int64]
    """[n, 2], displayed width and height."""
    time_base: Fraction

    @classmethod
    def from_answer(cls, answer: Answer, time_base: Fraction) -> FrameTimestamps:
        """Decode a TimestampAnalyzer's answer; an unknown last duration is the median step."""
        values = unpack_array(answer).astype(np.int64)
        pts = np.cumsum(values[:, 0])
        steps = np.diff(pts)
        median_step = int(np.median(steps[steps > 0])) if (steps > 0).any() else 1
        last_duration = int(values[-1, 1]) if len(values) else 0
        return cls(pts, last_duration or median_step, values[:, 2:], time_base)

    def __len__(self) -> int:
        return len(self.pts)

    @cached_property
    def seconds(self) -> NDArray[np.float64]:
        """Return the timestamps in seconds, [n]."""
        return np.asarray(self.pts * float(self.time_base), np.float64)

    @cached_property
    def discontinuities(self) -> list[int]:
        """Return the frames whose timestamp is not after the one before."""
        return [int(n) for n in np.flatnonzero(np.diff(self.pts) <= 0) + 1]

    @cached_property
    def forced_cuts(self) -> list[int]:
        """Return the frames that must begin a clip: timestamps jump back, or the size changes."""
        resized = np.flatnonzero(np.any(np.diff(self.sizes, axis=0) != 0, axis=1)) + 1
        return sorted({*self.discontinuities, *(int(n) for n in resized)})

    def span(self, start: int, end: int) -> Span:
        """Return frames [start, end) with their ticks; the last frame lasts until the next one."""
        end_pts = int(self.pts[end]) if end < len(self) else int(self.pts[-1]) + self.last_duration
        if end_pts <= self.pts[end - 1]:
            end_pts = int(self.pts[end - 1]) + self._median_step(start, end)
        start_pts = int(self.pts[start])
        return Span(start_frame=start, end_frame=end, start_pts=start_pts, end_pts=end_pts)

    def _median_step(self, start: int, end: int) -> int:
        steps = np.diff(self.pts[start:end])
        return int(np.median(steps)) if len(steps) else self.last_duration
