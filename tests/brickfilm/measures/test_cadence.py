"""Cadence finds holds exactly, and 3:2 pulldown."""

from __future__ import annotations

import pytest

from brickfilm.measures import Cadence
from tests.brickfilm.measures.holds import metrics_of_holds


@pytest.mark.parametrize("hold", [1, 2, 3, 4])
def test_hold_and_unique_frame_rate(hold: int) -> None:
    assert Cadence().summarise(metrics_of_holds([hold] * 12)) == {
        "hold": hold,
        "drawing_fps": 24 / hold,
        "hold_regularity": 1.0,
        "pulldown": 0.0,
    }


def test_a_pause_is_no_hold() -> None:
    scores = Cadence().summarise(metrics_of_holds([2, 2, 2, 40, 2, 2, 2, 2]))
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
def test_pulldown_from_24_to_30_is_found(ones: str, holds: list[int]) -> None:
    assert Cadence().summarise(metrics_of_holds(holds, fps=30))["pulldown"] == 1


@pytest.mark.parametrize("holds", [[2] * 12, [3] * 9, [2, 2, 2, 2, 3, 3, 3, 3], [1] * 20])
def test_other_uneven_holds_are_no_pulldown(holds: list[int]) -> None:
    assert Cadence().summarise(metrics_of_holds(holds, fps=30))["pulldown"] == 0


def test_a_still_clip_has_no_cadence() -> None:
    assert Cadence().summarise(metrics_of_holds([50]))["drawing_fps"] == 0
