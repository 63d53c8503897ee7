"""When each frame of a film is shown, and where its clock or its picture changes."""

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
    """Writes down timestamps and sizes; everything else is counted from them."""

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
    """The timestamps of a film's frames."""

    pts: NDArray[np.int64]
    """[n], in ticks."""
    last_duration: int
    """Ticks the last frame is shown."""
    sizes: NDArray[np.int64]
    """[n, 2], width and height shown."""
    time_base: Fraction

    @classmethod
    def from_answer(cls, answer: Answer, time_base: Fraction) -> FrameTimestamps:
        rows = unpack_array(answer).astype(np.int64)
        pts = np.cumsum(rows[:, 0])
        steps = np.diff(pts)
        usual = int(np.median(steps[steps > 0])) if (steps > 0).any() else 1
        last_duration = int(rows[-1, 1]) if len(rows) else 0
        return cls(pts, last_duration or usual, rows[:, 2:], time_base)

    def __len__(self) -> int:
        return len(self.pts)

    @cached_property
    def seconds(self) -> NDArray[np.float64]:
        """[n], from the film's own zero."""
        return np.asarray(self.pts * float(self.time_base), np.float64)

    @cached_property
    def discontinuities(self) -> list[int]:
        """Frames whose timestamp is not after the one before: there the clock jumps."""
        return [int(n) for n in np.flatnonzero(np.diff(self.pts) <= 0) + 1]

    @cached_property
    def forced_cuts(self) -> list[int]:
        """Frames that can follow no other in one clip: the clock jumps, or the size changes."""
        resized = np.flatnonzero(np.any(np.diff(self.sizes, axis=0) != 0, axis=1)) + 1
        return sorted({*self.discontinuities, *(int(n) for n in resized)})

    def span(self, start: int, end: int) -> Span:
        """Frames [start, end) with their ticks; a shot's last frame lasts until the next begins."""
        after = int(self.pts[end]) if end < len(self) else int(self.pts[-1]) + self.last_duration
        if after <= self.pts[end - 1]:
            after = int(self.pts[end - 1]) + self._median_step(start, end)
        return Span(start_frame=start, end_frame=end, start_pts=int(self.pts[start]), end_pts=after)

    def _median_step(self, start: int, end: int) -> int:
        steps = np.diff(self.pts[start:end])
        return int(np.median(steps)) if len(steps) else self.last_duration
