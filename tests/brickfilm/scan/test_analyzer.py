"""Measures that give other numbers than they announce."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest

from brickfilm.media import ReducedFrame
from brickfilm.records import Video
from brickfilm.scan.analyzer import FrameFunction, FrameMetrics, Measure, Scores
from tests.brickfilm.measures.drawn import encode, measured, texture


@dataclass(frozen=True)
class Odd(Measure):
    """A measure of settable answers, of one column."""

    row: Sequence[float] = (1.0,)
    scores_given: Scores = field(default_factory=lambda: {"odd": 1.0}, hash=False)

    version: ClassVar[int] = 1
    columns: ClassVar[tuple[str, ...]] = ("odd",)
    provides: ClassVar[tuple[str, ...]] = ("odd",)

    def begin(self, video: Video) -> FrameFunction:
        def analyze(frame: ReducedFrame) -> Sequence[float]:
            return self.row

        return analyze

    def summarise(self, metrics: FrameMetrics) -> Scores:
        return self.scores_given


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        (Odd(row=(1.0, 2.0)), r"Odd gave 4 numbers of 2 frames: return one .* columns, odd"),
        (Odd(row=()), "Odd gave 0 numbers of 2 frames"),
        (Odd(scores_given={}), r"Odd.summarise returned \{\}: .* `provides`, odd"),
        (Odd(scores_given={"odd": 1.0, "even": 1.0}), "returned {'odd': 1.0, 'even': 1.0}"),
        (Odd(scores_given={"odd": math.nan}), "returned {'odd': nan}: return a finite number"),
    ],
)
def test_other_numbers_than_announced_are_an_error(
    tmp_path: Path, odd: Measure, message: str
) -> None:
    film = encode(tmp_path / "film.mp4", [texture(), texture(1)], scale=0.2)
    with pytest.raises(ValueError, match=message):
        measured(film, odd)
    assert measured(film, Odd()) == {"odd": 1.0}
