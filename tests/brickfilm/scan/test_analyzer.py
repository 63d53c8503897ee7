"""Measures beside each other, and measures that give other numbers than they announce."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest

from brickfilm.measures import DEFAULT_MEASURES
from brickfilm.media import ReducedFrame, open_video
from brickfilm.records import Video
from brickfilm.scan.analyzer import (
    FrameFunction,
    FrameMetrics,
    Measure,
    Scores,
    analyze_frames,
    unpack_array,
)
from tests.brickfilm.measures.drawn import encode, measured, texture
from tests.kit.ask_stage import video_of


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


@dataclass(frozen=True)
class Slow(Odd):
    """A measure of frames' times that waits at one frame."""

    waits_at: int = 0

    def begin(self, video: Video) -> FrameFunction:
        seen = 0

        def analyze(frame: ReducedFrame) -> Sequence[float]:
            nonlocal seen
            seen += 1
            time.sleep(0.02 * (seen == self.waits_at))
            return (float(frame.pts),)

        return analyze


def test_measures_get_every_frame_in_order_beside_each_other(tmp_path: Path) -> None:
    film = encode(tmp_path / "film.mp4", [texture(n) for n in range(40)], scale=0.2)
    measures = [*(m for m in DEFAULT_MEASURES if m.columns), *(Slow(waits_at=n) for n in (1, 20))]
    answers = []
    for threads in (1, 2, 4):
        with open_video(film, threads=threads) as reader:
            answers.append(analyze_frames(reader, video_of(film), measures))
    assert answers[0] == answers[1] == answers[2]
    times = [unpack_array(answers[0][measure.digest])[:, 0] for measure in measures[-2:]]
    assert all(len(some) == 40 and (some[1:] > some[:-1]).all() for some in times)
