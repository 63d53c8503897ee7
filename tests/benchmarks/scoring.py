"""Score detected cuts against the truth."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Score:
    """True positives, false positives and false negatives."""

    tp: int = 0
    fp: int = 0
    fn: int = 0

    def __add__(self, other: Score) -> Score:
        return Score(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)

    @property
    def precision(self) -> float:
        """Return the precision; 1 if nothing was detected."""
        return self.tp / (self.tp + self.fp) if self.tp + self.fp else 1.0

    @property
    def recall(self) -> float:
        return self.tp / (self.tp + self.fn) if self.tp + self.fn else 1.0

    @property
    def f1(self) -> float:
        wrong = self.fp + self.fn
        return 2 * self.tp / (2 * self.tp + wrong) if self.tp or wrong else 1.0


def score(
    detected: Sequence[int], cuts: Sequence[int], ignore: Collection[int], tolerance: int
) -> Score:
    """Match each true cut with the nearest detected one, at most `tolerance` frames away.

    Unmatched detections in or beside `ignore` (frames of fades) are no errors.
    """
    pairs = sorted((abs(a - b), a, b) for a in cuts for b in detected if abs(a - b) <= tolerance)
    matched: dict[int, int] = {}
    for _, cut, guess in pairs:
        if cut not in matched and guess not in matched.values():
            matched[cut] = guess
    ignored = {frame + d for frame in ignore for d in range(-tolerance, tolerance + 1)}
    wrong = [n for n in detected if n not in matched.values() and n not in ignored]
    return Score(len(matched), len(wrong), len(cuts) - len(matched))


def pooled(scores: Iterable[Score]) -> Score:
    """Add all counts, so that every cut has the same weight."""
    return sum(scores, Score())
