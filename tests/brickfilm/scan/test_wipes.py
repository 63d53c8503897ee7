"""Wipes are found where one picture replaces another part by part, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from brickfilm.media import ReducedFrame
from brickfilm.scan.analyzer import FloatArray
from brickfilm.scan.wipes import Thumbnail, WipeAnalyzer, find_wipes, later_share
from tests.kit.toy_stages import video as toy_video

HEIGHT, WIDTH = 27, 48
COLUMNS = np.arange(WIDTH) / WIDTH
NO_CHROMA = np.zeros((1, 3, 2), np.uint8)
RNG = np.random.default_rng(5)


def picture(seed: int) -> Thumbnail:
    """Return coarse blocks of random levels."""
    blocks = np.random.default_rng(seed).integers(20, 235, (9, 12)).astype(np.uint8)
    return blocks.repeat(3, 0).repeat(4, 1)


ONE, OTHER = picture(1), picture(2)


def wiped(share: float) -> Thumbnail:
    return np.where(share > COLUMNS, OTHER, ONE)


def iris(share: float) -> Thumbnail:
    y, x = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j]
    return np.where(x**2 + y**2 < 4 / np.pi * share, OTHER, ONE)


def mixed(share: float) -> Thumbnail:
    return ((1 - share) * ONE + share * OTHER).astype(np.uint8)


def noisy(frame: Thumbnail) -> Thumbnail:
    return np.clip(frame + RNG.normal(0, 2, frame.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("how", [wiped, iris])
def test_a_frame_of_a_wipe_has_the_share_of_the_later_picture(
    how: Callable[[float], Thumbnail],
) -> None:
    assert later_share(noisy(ONE), noisy(how(0.5)), noisy(OTHER)) == pytest.approx(0.5, abs=0.1)


def test_a_wipe_may_uncover_a_blank_picture() -> None:
    black = np.zeros_like(ONE)
    half = np.where(COLUMNS < 0.5, black, ONE)
    assert later_share(ONE, half, black) == pytest.approx(0.5, abs=0.1)


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


def shares_of(frames: list[Thumbnail]) -> FloatArray:
    """Return the analyzer's rows for frames of its own size."""
    analyze = WipeAnalyzer().begin(toy_video("film"))
    rows = [
        analyze(ReducedFrame(n, 1, (WIDTH, HEIGHT), frame, NO_CHROMA, None))
        for n, frame in enumerate(frames)
    ]
    return np.array(rows, np.float32)


@pytest.mark.parametrize("length", [8, 12, 24, 36])
def test_a_wipe_is_found_with_its_frames(length: int) -> None:
    rising = [wiped((n + 1) / (length + 1)) for n in range(length)]
    frames = [noisy(frame) for frame in [ONE] * 60 + rising + [OTHER] * 60]
    ((start, end),) = find_wipes(shares_of(frames))
    assert abs(start - 60) <= max(3, length // 6)
    assert abs(end - 60 - length) <= max(3, length // 6)


def test_neither_dissolves_nor_cuts_nor_a_picture_that_waits_are_wipes() -> None:
    dissolve = [ONE] * 60 + [mixed(n / 20) for n in range(20)] + [OTHER] * 60
    assert find_wipes(shares_of([noisy(frame) for frame in dissolve])) == []
    split_screen = [ONE] * 60 + [wiped(0.5)] * 8 + [OTHER] * 60
    assert find_wipes(shares_of([noisy(frame) for frame in split_screen])) == []


def test_a_slow_change_is_a_camera_move() -> None:
    rising = [wiped((n + 1) / 75) for n in range(74)]
    assert find_wipes(shares_of([ONE] * 60 + rising + [OTHER] * 60)) == []
