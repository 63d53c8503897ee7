"""The change of tone is large from picture to picture, and small in another light."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from brickfilm.detectors.transnetv2.tones import tone_change as change

Picture = NDArray[np.uint8]
SIZE = (27, 48)


def card(*color: int) -> Picture:
    """Return a plain card, with a little grain."""
    grain = np.random.default_rng(1).integers(-2, 3, (*SIZE, 1))
    return np.clip(np.full((*SIZE, 3), color) + grain, 0, 255).astype(np.uint8)


def with_figure(ground: Picture, color: tuple[int, int, int], columns: slice) -> Picture:
    picture = ground.copy()
    picture[5:22, columns] = color
    return picture


GREEN = card(90, 150, 110)
YELLOW, RED = (240, 220, 40), (200, 40, 50)
SET = with_figure(with_figure(GREEN, YELLOW, slice(5, 15)), (30, 30, 30), slice(30, 40))


def test_one_picture_changes_nothing() -> None:
    assert change(SET, SET.copy()) == pytest.approx(0, abs=1e-6)


def test_what_moves_changes_little() -> None:
    moved = with_figure(with_figure(GREEN, YELLOW, slice(12, 22)), (30, 30, 30), slice(30, 40))
    assert change(SET, moved) < 0.02


def test_another_white_balance_changes_less_than_another_picture() -> None:
    warmer = np.clip(SET + np.array((8, 0, -8)), 0, 255).astype(np.uint8)
    assert change(SET, warmer) < 0.2
    assert change(SET, with_figure(SET, RED, slice(10, 40))) > 0.35


def test_plain_cards_of_two_brightnesses_differ_in_all() -> None:
    assert change(GREEN, card(230, 230, 225)) > 0.95


def test_a_new_colour_in_a_third_of_the_picture_is_seen_at_one_brightness() -> None:
    luma = round(0.299 * 90 + 0.587 * 150 + 0.114 * 110)
    pink = (luma + 60, luma - 45, luma + 60)
    share = 17 * 25 / (27 * 48)
    assert change(GREEN, with_figure(GREEN, pink, slice(10, 35))) == pytest.approx(share, abs=0.05)
