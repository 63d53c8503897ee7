"""Holds are told to the frame, and an old conversion is found out."""

from __future__ import annotations

import numpy as np
import pytest

from brickfilm.measures import Cadence, Freeze
from brickfilm.scan.analyzer import FrameMetrics


def rows(holds: list[int], fps: float = 24.0) -> FrameMetrics:
    """A clip whose drawings stay for so many frames each."""
    new = np.concatenate([np.r_[True, np.zeros(hold - 1, bool)] for hold in holds])
    times = np.arange(len(new)) / fps
    return FrameMetrics(np.empty((len(new), 0), np.float32), times, new)


@pytest.mark.parametrize("hold", [1, 2, 3, 4])
def test_the_hold_is_told_and_the_true_rate(hold: int) -> None:
    assert Cadence().summarise(rows([hold] * 12)) == {
        "hold": hold,
        "drawing_fps": 24 / hold,
        "hold_regularity": 1.0,
        "pulldown": 0.0,
    }


def test_a_pause_is_no_hold() -> None:
    scores = Cadence().summarise(rows([2, 2, 2, 40, 2, 2, 2, 2]))
    assert (scores["hold"], scores["drawing_fps"]) == (2, 12)


@pytest.mark.parametrize(
    ("ones", "holds"),
    [
        ("ones", [1, 1, 1, 2] * 5),
        ("twos", [3, 2] * 8),
        ("twos, begun elsewhere", [2, 3] * 8),
        ("threes", [4, 4, 4, 3] * 3),
    ],
)
def test_a_conversion_to_thirty_is_found_out(ones: str, holds: list[int]) -> None:
    assert Cadence().summarise(rows(holds, fps=30))["pulldown"] == 1


@pytest.mark.parametrize("holds", [[2] * 12, [3] * 9, [2, 2, 2, 2, 3, 3, 3, 3], [1] * 20])
def test_what_was_animated_so_is_no_conversion(holds: list[int]) -> None:
    assert Cadence().summarise(rows(holds, fps=30))["pulldown"] == 0


def test_a_still_clip_has_no_cadence() -> None:
    assert Cadence().summarise(rows([50]))["drawing_fps"] == 0


def test_only_long_holds_are_freezes() -> None:
    assert Freeze().summarise(rows([4] * 12))["freeze_share"] == 0
    assert Freeze().summarise(rows([25, *[1] * 24]))["freeze_share"] == pytest.approx(25 / 48, 0.03)
    assert Freeze().summarise(rows([50]))["freeze_share"] == 1
