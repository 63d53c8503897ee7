"""Fades are found by contrast, and taken out of shots."""

from __future__ import annotations

import numpy as np

from brickfilm.detectors.holds.fades import find_fades, shots_without_transitions


def test_a_hard_cut_to_black_is_no_fade() -> None:
    contrast = np.r_[np.full(40, 50.0), np.full(20, 1.0), np.full(40, 45.0)].astype(np.float32)
    assert find_fades(contrast, np.arange(100) / 24) == []


def test_a_fade_through_black_is_one_range() -> None:
    down, up = np.linspace(50, 2, 12), np.linspace(2, 40, 12)
    contrast = np.r_[np.full(40, 50.0), down, up, np.full(40, 40.0)].astype(np.float32)
    ((start, end),) = find_fades(contrast, np.arange(len(contrast)) / 24)
    assert abs(start - 40) <= 1
    assert abs(end - 64) <= 1


def test_shots_lie_between_cuts_and_transitions() -> None:
    assert shots_without_transitions([(10, 14), (28, 40)], [20], 40) == [
        (0, 10),
        (14, 20),
        (20, 28),
    ]
