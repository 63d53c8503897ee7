"""Frames of one shot are similar through shifts, light and entrances; across a cut they are not."""

from __future__ import annotations

import numpy as np
import pytest

from brickfilm.detectors import HoldAware
from brickfilm.detectors.holds.frame_features import FrameFeatures
from brickfilm.detectors.holds.phase_correlation import phase_correlation
from brickfilm.detectors.holds.similarity import (
    CORRELATION_THRESHOLD,
    FAR_CORRELATION_THRESHOLD,
    dissimilarity,
)
from tests.brickfilm.detectors.holds.pictures import ONE, OTHER, Plane, picture


def test_a_shifted_picture_is_similar_and_another_is_not() -> None:
    wide, other = picture(1), picture(2)
    here, moved = FrameFeatures(wide[:, :320].copy()), FrameFeatures(wide[:, 120:440].copy())
    assert dissimilarity(here, here) < 0.02
    assert dissimilarity(here, moved) < 0.3
    assert dissimilarity(here, FrameFeatures(other[:, :320].copy())) > 0.6


def test_a_picture_in_another_light_is_similar() -> None:
    here = picture(1)[:, :320]
    darker = (here * 0.6 + 10).astype(np.uint8)
    assert dissimilarity(FrameFeatures(here.copy()), FrameFeatures(darker)) < 0.15


def before_a_wall(pose: int, chroma: tuple[int, int]) -> FrameFeatures:
    """Draw a figure, elsewhere in each pose, before a plain wall of some chroma."""
    wall = np.full((180, 320), 120, np.uint8)
    left = 40 + 160 * pose
    wall[60:, left : left + 60] = OTHER[:120, left : left + 60]
    return FrameFeatures(wall, np.full((11, 20, 2), chroma, np.uint8))


def test_a_plain_coloured_wall_makes_poses_similar() -> None:
    here = before_a_wall(0, (110, 150))
    grey = dissimilarity(FrameFeatures(here.luma), FrameFeatures(before_a_wall(1, (110, 150)).luma))
    assert dissimilarity(here, before_a_wall(1, (110, 150))) < grey - 0.15
    assert dissimilarity(here, before_a_wall(1, (150, 110))) > grey + 0.01


def test_chroma_of_grey_pictures_has_no_weight() -> None:
    grey = [FrameFeatures(before_a_wall(pose, (0, 0)).luma) for pose in (0, 1)]
    nearly = [before_a_wall(0, (128, 129)), before_a_wall(1, (129, 128))]
    assert dissimilarity(*nearly) == pytest.approx(dissimilarity(*grey), abs=0.03)


def test_rounding_beside_flat_ground_hides_no_cut() -> None:
    rng = np.random.default_rng(0)
    logo = np.full((24, 16), 16, np.uint8)
    logo[:7], logo[7] = rng.integers(0, 256, (7, 16)), rng.integers(14, 19, 16)
    features = FrameFeatures(logo.repeat(2, 0).repeat(2, 1))
    assert np.isfinite(features.detail).all()
    assert dissimilarity(features, FrameFeatures(np.full((48, 32), 230, np.uint8))) > 0.6


def test_a_letterbox_hides_no_cut() -> None:
    a, b = ONE.copy(), OTHER.copy()
    for boxed in (a, b):
        boxed[:30], boxed[-30:], boxed[:, :50], boxed[:, -50:] = 16, 16, 16, 16
    assert dissimilarity(FrameFeatures(a), FrameFeatures(b)) > 0.6
    assert dissimilarity(FrameFeatures(a), FrameFeatures(a.copy())) < 0.02


def test_an_entrance_that_hides_half_of_the_frame_is_no_cut() -> None:
    entered = ONE.copy()
    entered[20:, 80:240] = OTHER[20:, 80:240]
    assert dissimilarity(FrameFeatures(ONE.copy()), FrameFeatures(entered)) < HoldAware().threshold
    assert (
        dissimilarity(FrameFeatures(ONE.copy()), FrameFeatures(OTHER.copy()))
        > HoldAware().threshold + 0.1
    )


def test_an_explosion_that_hides_most_of_the_frame_is_no_cut() -> None:
    import cv2

    explosion = cv2.circle(ONE.copy(), (190, 90), 120, 255, -1)
    assert dissimilarity(FrameFeatures(ONE.copy()), FrameFeatures(explosion)) < 0.4
    assert (
        dissimilarity(FrameFeatures(OTHER.copy()), FrameFeatures(explosion))
        > HoldAware().threshold + 0.1
    )


def blurred(seed: int, sigma: float) -> FrameFeatures:
    """Blur noise and restore full contrast."""
    import cv2

    noise = np.random.default_rng(seed).integers(0, 256, (180, 320), np.uint8)
    soft = cv2.GaussianBlur(noise, (0, 0), sigma)
    return FrameFeatures(np.asarray(cv2.normalize(soft, None, 0, 255, cv2.NORM_MINMAX)))


def test_frames_out_of_focus_count_as_more_dissimilar() -> None:
    one, other = blurred(0, 6), blurred(1, 6)
    assert min(one.blur, other.blur) > 0.8
    assert dissimilarity(one, other) > 0.78  # 0.84; 0.69 without the blur term
    assert dissimilarity(one, FrameFeatures(one.luma.copy())) < 0.02


def test_sharp_and_plain_frames_are_not_out_of_focus() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (180, 320), np.uint8)
    assert FrameFeatures(noise).blur == 0.0
    assert FrameFeatures(np.full((180, 320), 90, np.uint8)).blur == 0.0


def blotches(seed: int) -> Plane:
    """Draw a coarser texture than `picture`, in which corners match by chance."""
    import cv2

    small = np.random.default_rng(seed).integers(0, 256, (10, 18), np.uint8)
    return np.asarray(cv2.resize(small, (320, 180), interpolation=cv2.INTER_CUBIC))


@pytest.mark.parametrize("seed", [14, 116])
def test_a_chance_match_at_a_far_shift_is_ignored(seed: int) -> None:
    one, other = FrameFeatures(blotches(seed)), FrameFeatures(blotches(seed + 1))
    shift, correlation = phase_correlation(one, other)
    assert max(map(abs, shift)) > 60  # less than half of the frame is visible
    assert CORRELATION_THRESHOLD < correlation < FAR_CORRELATION_THRESHOLD
    assert dissimilarity(one, other) > HoldAware().threshold + 0.1


def test_a_whip_pan_that_leaves_two_fifths_visible_is_similar() -> None:
    here, whipped = ONE.copy(), OTHER.copy()
    whipped[:, :140] = here[:, 180:]
    assert dissimilarity(FrameFeatures(here), FrameFeatures(whipped)) < 0.1


@pytest.mark.parametrize("same", [36, 18], ids=["a table", "a subtitle"])
def test_a_cut_to_a_white_wall_is_a_cut_though_something_stays(same: int) -> None:
    dark, white = (ONE * 0.4).astype(np.uint8), np.full_like(ONE, 240)
    dark[-same:] = white[-same:] = OTHER[-same:]
    for a, b in ((dark, white), (white, dark)):
        assert dissimilarity(FrameFeatures(a), FrameFeatures(b)) > HoldAware().threshold


def test_a_global_color_cast_is_ignored() -> None:
    rng = np.random.default_rng(0)
    chroma = rng.integers(90, 170, (11, 20, 2)).astype(np.uint8)
    here, warmer = (
        FrameFeatures(ONE, chroma),
        FrameFeatures(ONE, chroma + np.array([-6, 6], np.int16).astype(np.uint8)),
    )
    assert dissimilarity(here, warmer) < 0.02
