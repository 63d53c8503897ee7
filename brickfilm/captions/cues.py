"""Texts with times, found by time in a number of steps that grows with the logarithm of lines."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate

MIN_OVERLAP_SHARE = 0.5
"""A cue belongs to a clip if at least this share of it lies within the clip."""


@dataclass(frozen=True)
class Cue:
    """Text shown for [start, end), in seconds from the video's own zero."""

    start: float
    end: float
    text: str

    def overlap(self, start: float, end: float) -> float:
        """Return the seconds shared with [start, end)."""
        return max(0.0, min(self.end, end) - max(self.start, start))


class CueIndex:
    """Cues of one video by start, with the latest end so far, so that both can be bisected."""

    def __init__(self, cues: Iterable[Cue] = ()) -> None:
        self.cues = tuple(sorted(cues, key=lambda cue: (cue.start, cue.end)))
        self._starts = [cue.start for cue in self.cues]
        self._latest_ends = list(accumulate((cue.end for cue in self.cues), max))

    def __iter__(self) -> Iterator[Cue]:
        return iter(self.cues)

    def __len__(self) -> int:
        return len(self.cues)

    def in_span(self, start: float, end: float) -> list[Cue]:
        """Return the cue that overlaps [start, end) most, and all that lie mostly within it."""
        first = bisect_right(self._latest_ends, start)
        last = bisect_left(self._starts, end)
        overlaps = [(cue, cue.overlap(start, end)) for cue in self.cues[first:last]]
        longest = max((seconds for _, seconds in overlaps), default=0.0)
        return [
            cue
            for cue, seconds in overlaps
            if seconds > 0
            and (seconds == longest or seconds >= MIN_OVERLAP_SHARE * (cue.end - cue.start))
        ]

    def at(self, time: float) -> Cue | None:
        """Return the cue shown at a time in seconds; the first to start, if several are."""
        first = bisect_right(self._latest_ends, time)
        last = bisect_right(self._starts, time)
        return next((cue for cue in self.cues[first:last] if time < cue.end), None)
