"""Wipes are found where one picture replaces another part by part, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from brickfilm.scan.wipes import RADII, STRIDE, Thumbnail, find_wipes, later_share

HEIGHT, WIDTH = 27, 48
COLUMNS = np.arange(WIDTH) / WIDTH
RNG = np.random.default_rng(5)


def picture(seed: int) -> Thumbnail:
    """Return coarse blocks of random levels."""
    blocks = np.random.default_rng(seed).integers(20, 235, (9, 12)).astype(np.float32)
    return blocks.repeat(3, 0).repeat(4, 1)


ONE, OTHER = picture(1), picture(2)


def wiped(share: float) -> Thumbnail:
    return np.where(share > COLUMNS, OTHER, ONE).astype(np.float32)


def iris(share: float) -> Thumbnail:
    y, x = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j]
    return np.where(x**2 + y**2 < 4 / np.pi * share, OTHER, ONE).astype(np.float32)


def mixed(share: float) -> Thumbnail:
    return (1 - share) * ONE + share * OTHER


def noisy(frame: Thumbnail) -> Thumbnail:
    return frame + RNG.normal(0, 2, frame.shape).astype(np.float32)


@pytest.mark.parametrize("how", [wiped, iris])
def test_a_frame_of_a_wipe_has_the_share_of_the_later_picture(
    how: Callable[[float], Thumbnail],
) -> None:
    assert later_share(noisy(ONE), noisy(how(0.5)), noisy(OTHER)) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(
    ("old", "middle", "new"),
    [
        (ONE, mixed(0.5), OTHER),
        (ONE, ONE, OTHER),
        (ONE, OTHER, OTHER),
        (ONE, picture(3), OTHER),
        (ONE, np.where(RNG.random(ONE.shape) < 0.5, ONE, OTHER), OTHER),
        (ONE, wiped(0.5), np.where(COLUMNS < 0.4, OTHER, ONE)),
    ],
    ids=["dissolve", "cut later", "cut before", "another shot", "noise", "an entrance"],
)
def test_other_frames_have_none(old: Thumbnail, middle: Thumbnail, new: Thumbnail) -> None:
    assert later_share(old, middle, new) == 0


def shares_of(frames: list[Thumbnail]) -> np.ndarray:
    """Return the analyzer's columns for frames."""
    shares = np.zeros((len(frames), len(RADII)), np.float32)
    for n in range(0, len(frames), STRIDE):
        for column, radius in enumerate(RADII):
            if n >= 2 * radius:
                shares[n, column] = later_share(*frames[n - 2 * radius : n + 1 : radius])
    return shares


@pytest.mark.parametrize("length", [8, 12, 24, 40])
def test_a_wipe_is_found_with_its_frames(length: int) -> None:
    rising = [wiped((n + 1) / (length + 1)) for n in range(length)]
    frames = [noisy(frame) for frame in [ONE] * 60 + rising + [OTHER] * 60]
    ((start, end),) = find_wipes(shares_of(frames))
    assert abs(start - 60) <= max(3, length // 8)
    assert abs(end - 60 - length) <= max(3, length // 8)


def test_neither_dissolves_nor_cuts_nor_a_picture_that_waits_are_wipes() -> None:
    dissolve = [ONE] * 60 + [mixed(n / 20) for n in range(20)] + [OTHER] * 60
    assert find_wipes(shares_of([noisy(frame) for frame in dissolve])) == []
    split_screen = [ONE] * 60 + [wiped(0.5)] * 8 + [OTHER] * 60
    assert find_wipes(shares_of([noisy(frame) for frame in split_screen])) == []


def test_a_slow_change_is_a_camera_move() -> None:
    rising = [wiped((n + 1) / 75) for n in range(74)]
    assert find_wipes(shares_of([ONE] * 60 + rising + [OTHER] * 60)) == []
