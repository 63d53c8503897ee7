"""How good a list of cuts is, against the truth."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Score:
    """Right cuts, wrong cuts, and cuts that were missed."""

    tp: int = 0
    fp: int = 0
    fn: int = 0

    def __add__(self, other: Score) -> Score:
        return Score(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)

    @property
    def precision(self) -> float:
        """1 where nothing was found: nothing found was wrong."""
        return self.tp / (self.tp + self.fp) if self.tp + self.fp else 1.0

    @property
    def recall(self) -> float:
        return self.tp / (self.tp + self.fn) if self.tp + self.fn else 1.0

    @property
    def f1(self) -> float:
        wrong = self.fp + self.fn
        return 2 * self.tp / (2 * self.tp + wrong) if self.tp or wrong else 1.0


def score(
    found: Sequence[int], cuts: Sequence[int], ignore: Collection[int], tolerance: int
) -> Score:
    """Match each true cut with the nearest found one, `tolerance` frames away at most.

    What is found in or beside `ignore` (frames of fades) and matches nothing is no error.
    """
    pairs = sorted((abs(a - b), a, b) for a in cuts for b in found if abs(a - b) <= tolerance)
    matched: dict[int, int] = {}
    for _, cut, guess in pairs:
        if cut not in matched and guess not in matched.values():
            matched[cut] = guess
    excused = {frame + d for frame in ignore for d in range(-tolerance, tolerance + 1)}
    wrong = [guess for guess in found if guess not in matched.values() and guess not in excused]
    return Score(len(matched), len(wrong), len(cuts) - len(matched))


def pooled(scores: Iterable[Score]) -> Score:
    """All counts together: every cut weighs the same."""
    return sum(scores, Score())
