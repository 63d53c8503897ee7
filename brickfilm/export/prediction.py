"""Predict what a trainer reads of each clip: which frames, at which speed and size, or why none."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from brickfilm.export.rows import ExportRow
from brickfilm.schema.plural import pluralize

FRACTION_WORDS = {2: "second", 3: "third", 4: "fourth", 5: "fifth"}
SAME_SPEED = 0.01
"""Difference from 1.0 up to which a clip plays at its own speed: rates such as 24000/1001 at 24."""


@dataclass(frozen=True)
class Seen:
    """The frames that a trainer reads of a clip, and how it plays them."""

    frames: tuple[int, ...]
    """Indices into the exported clip, in the order of the trainer's tensor."""
    fps: Fraction | None
    """Rate at which the model plays them; None for an image."""
    height: int
    width: int
    last_start: int = 0
    """The trainer adds a random number from 0 to this to all frames, anew in each epoch."""


@dataclass(frozen=True)
class Dropped:
    """A clip that a trainer does not use."""

    reason: str


Prediction = Seen | Dropped


def speed(row: ExportRow, seen: Seen) -> float:
    """Return how much faster than filmed the model sees a clip; 1.0 is the true speed.

    A difference of less than one frame at the end is rounding, not speed.
    """
    steps = len(seen.frames) - 1
    if steps < 1 or not seen.fps:
        return 1.0
    filmed = row.source_time(seen.frames[-1]) - row.source_time(seen.frames[0])
    played = steps / seen.fps
    return 1.0 if abs(filmed - played) < 1 / seen.fps else float(filmed / played)


def lost_drawings(row: ExportRow, seen: Seen) -> int:
    """Count drawings between the first and the last frame seen that no frame seen shows."""
    if not row.drawings or len(seen.frames) < 2:
        return 0
    shown = {bisect_right(row.drawings, row.source_frame(frame)) for frame in seen.frames}
    return max(shown) - min(shown) + 1 - len(shown)


def drawings_in_range(row: ExportRow, seen: Seen) -> int:
    """Count drawings from the first to the last frame seen."""
    ends = (row.source_frame(frame) for frame in (seen.frames[0], seen.frames[-1]))
    first, last = (bisect_right(row.drawings, frame) for frame in ends)
    return last - first + 1 if row.drawings else 0


@dataclass(frozen=True, order=True)
class SeenGroup:
    """Clips of which a trainer reads the same number of frames, at one speed and size."""

    frames: int
    width: int
    height: int
    speed: float
    """Rounded to 0.01."""


@dataclass(frozen=True)
class ExportForecast:
    """Totals of what a trainer will use of an export."""

    clips: int
    all_clips: int
    """Number of clips, used and dropped."""
    images: int
    dropped: Counter[str]
    """Number of rows by reason."""
    seconds: float
    seconds_seen: float
    """Of source time between the first and the last frame read of each clip."""
    groups: Counter[SeenGroup]
    """Number of clips that look the same to the trainer."""
    drawings: int
    drawings_lost: int
    clips_with_lost_drawings: int
    drawings_of_those: int
    """Number of drawings of the clips that lose some."""

    @classmethod
    def from_predictions(
        cls, predictions: Iterable[tuple[ExportRow, Prediction]]
    ) -> ExportForecast:
        pairs = list(predictions)
        seen = [(row, p) for row, p in pairs if isinstance(p, Seen)]
        clips = [(row, p) for row, p in seen if not row.is_image]
        lost = [lost_drawings(row, p) for row, p in clips]
        drawn = [drawings_in_range(row, p) for row, p in clips]
        return cls(
            clips=len(clips),
            all_clips=sum(not row.is_image for row, _ in pairs),
            images=len(seen) - len(clips),
            dropped=Counter(p.reason for _, p in pairs if isinstance(p, Dropped)),
            seconds=sum(row.source_seconds for row, _ in pairs),
            seconds_seen=sum(_seconds_seen(row, p) for row, p in clips),
            groups=Counter(_group(row, p) for row, p in clips),
            drawings=sum(drawn),
            drawings_lost=sum(lost),
            clips_with_lost_drawings=sum(n > 0 for n in lost),
            drawings_of_those=sum(n for n, missing in zip(drawn, lost, strict=True) if missing),
        )

    @property
    def speeds(self) -> Counter[float]:
        """Return the number of clips by speed, rounded to 0.01."""
        speeds: Counter[float] = Counter()
        for group, count in self.groups.items():
            speeds[group.speed] += count
        return speeds

    @property
    def changed_speed(self) -> int:
        """Return the number of clips that are not played at their own speed."""
        return sum(n for value, n in self.speeds.items() if abs(value - 1) > SAME_SPEED)

    def lines(self) -> list[str]:
        """Return sentences for people: kept, dropped, speed and cadence."""
        dropped = [f"drops {n}: {reason}" for reason, n in self.dropped.most_common()]
        speeds = [
            f"plays {pluralize(n, 'clip')} at {value:g} times their speed"
            for value, n in sorted(self.speeds.items())
            if abs(value - 1) > SAME_SPEED
        ]
        kept = (
            f"uses {pluralize(self.clips, 'clip')} and {pluralize(self.images, 'image')}, "
            f"{self.seconds_seen:.1f} of {self.seconds:.1f} s"
        )
        return [kept, *dropped, *speeds, *self._cadence_lines()]

    def _cadence_lines(self) -> list[str]:
        if not self.drawings_lost:
            return []
        share = self.drawings_lost / self.drawings_of_those
        every = FRACTION_WORDS.get(int(1 / share + 0.49)) if share > 0.15 else None
        words = f"about every {every} drawing" if every else "some drawings"
        return [
            f"would drop {words} of {pluralize(self.clips_with_lost_drawings, 'clip')} "
            f"({self.drawings_lost} of {self.drawings_of_those})"
        ]


def _group(row: ExportRow, seen: Seen) -> SeenGroup:
    return SeenGroup(len(seen.frames), seen.width, seen.height, round(speed(row, seen), 2))


def _seconds_seen(row: ExportRow, seen: Seen) -> float:
    """Return the source time from the first frame to the end of the last one."""
    first, last = seen.frames[0], seen.frames[-1]
    fps = row.recut.source_fps if row.recut else row.fps
    return float(row.source_time(last) - row.source_time(first) + 1 / fps) if fps else 0.0
