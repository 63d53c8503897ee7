"""Predict what a trainer reads of each clip: which frames, at which speed and size, or why none."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from brickfilm.export.rows import ExportRow


@dataclass(frozen=True)
class Seen:
    """The frames that a trainer reads of a clip, and how it plays them."""

    frames: tuple[int, ...]
    """Indices into the exported clip, in the order of the trainer's tensor."""
    fps: Fraction | None
    """Rate at which the model plays them; None for an image."""
    height: int
    width: int


@dataclass(frozen=True)
class Dropped:
    """A clip that a trainer does not use."""

    reason: str


Prediction = Seen | Dropped


def speed(row: ExportRow, seen: Seen) -> float:
    """Return how much faster than filmed the model sees a clip; 1.0 is the true speed."""
    steps = len(seen.frames) - 1
    if not (steps and row.fps and seen.fps):
        return 1.0
    filmed = (seen.frames[-1] - seen.frames[0]) / row.fps
    return float(filmed / (steps / seen.fps))


def lost_drawings(row: ExportRow, seen: Seen) -> int:
    """Count drawings between the first and the last frame seen that no frame seen shows."""
    if not row.drawings or len(seen.frames) < 2:
        return 0
    shown = {bisect_right(row.drawings, frame) for frame in seen.frames}
    return max(shown) - min(shown) + 1 - len(shown)


@dataclass(frozen=True)
class ExportForecast:
    """Totals of what a trainer will use of an export."""

    clips: int
    images: int
    dropped: Counter[str]
    """Number of rows by reason."""
    seconds: float
    seconds_seen: float
    """Of source time between the first and the last frame read of each clip."""
    speeds: Counter[float]
    """Number of clips by speed, rounded to 0.01."""
    drawings: int
    drawings_lost: int
    clips_with_lost_drawings: int

    @classmethod
    def from_predictions(
        cls, predictions: Iterable[tuple[ExportRow, Prediction]]
    ) -> ExportForecast:
        pairs = list(predictions)
        seen = [(row, p) for row, p in pairs if isinstance(p, Seen)]
        clips = [(row, p) for row, p in seen if not row.is_image]
        lost = [lost_drawings(row, p) for row, p in clips]
        return cls(
            clips=len(clips),
            images=len(seen) - len(clips),
            dropped=Counter(p.reason for _, p in pairs if isinstance(p, Dropped)),
            seconds=sum(row.seconds for row, _ in pairs),
            seconds_seen=sum(_seconds_seen(row, p) for row, p in clips),
            speeds=Counter(round(speed(row, p), 2) for row, p in clips),
            drawings=sum(_drawings_in_range(row, p) for row, p in clips),
            drawings_lost=sum(lost),
            clips_with_lost_drawings=sum(n > 0 for n in lost),
        )

    def lines(self) -> list[str]:
        """Return sentences for people: kept, dropped, speed and cadence."""
        dropped = [f"drops {n}: {reason}" for reason, n in self.dropped.most_common()]
        speeds = [
            f"plays {n} clips at {value:g} times their speed"
            for value, n in sorted(self.speeds.items())
            if value != 1.0
        ]
        kept = (
            f"uses {self.clips} clips and {self.images} images, "
            f"{self.seconds_seen:.1f} of {self.seconds:.1f} s"
        )
        return [kept, *dropped, *speeds, *self._cadence_lines()]

    def _cadence_lines(self) -> list[str]:
        if not self.drawings_lost:
            return []
        share = self.drawings_lost / self.drawings
        return [
            f"skips {self.drawings_lost} of {self.drawings} drawings ({share:.0%}) "
            f"in {self.clips_with_lost_drawings} clips"
        ]


def _seconds_seen(row: ExportRow, seen: Seen) -> float:
    return float((seen.frames[-1] + 1 - seen.frames[0]) / row.fps) if row.fps else 0.0


def _drawings_in_range(row: ExportRow, seen: Seen) -> int:
    first, last = (bisect_right(row.drawings, frame) for frame in (seen.frames[0], seen.frames[-1]))
    return last - first + 1 if row.drawings else 0
