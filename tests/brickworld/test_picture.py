"""Every set, light and camera gives a picture with figures that move."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest

from tests.brickworld import CAMERAS, LIGHTINGS, PALETTES, SCENES, BrickFilm, Shot
from tests.brickworld.figure import Look, Pose, figure, limbs
from tests.brickworld.light import LIGHTINGS as LIGHTS
from tests.brickworld.mesh import box, cylinder, merge, repeat
from tests.brickworld.palette import PALETTES as PLASTICS
from tests.brickworld.raster import Perspective, rasterise

SMALL = (320, 180)
WHITE = (1.0, 1.0, 1.0)


def one_shot(**wishes: object) -> BrickFilm:
    shot = Shot(frames=4, hold=1, view=0, speed="fast")
    return BrickFilm(size=SMALL, shots=(shot,), noise=0, **wishes)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("scene", SCENES)
def test_every_set_has_detail_colour_and_motion(scene: str) -> None:
    pictures = list(one_shot(scene=scene, camera="static", lighting="day").pictures())
    grey = cv2.cvtColor(pictures[0], cv2.COLOR_RGB2GRAY)
    assert cv2.Laplacian(grey, cv2.CV_32F).std() > 10, "studs, seams and faces have edges"
    assert pictures[0].std() > 30
    assert all((a != b).any(axis=2).mean() > 0.005 for a, b in pairwise(pictures))


@pytest.mark.slow
def test_palettes_and_lights_change_the_picture() -> None:
    looks = [one_shot(scene="street", palette=name, lighting="day") for name in PALETTES]
    looks += [one_shot(scene="street", palette="classic", lighting=name) for name in LIGHTINGS]
    seen = [next(film.pictures()).mean(axis=(0, 1)) for film in looks]
    assert sum(np.abs(a - b).max() < 2 for n, a in enumerate(seen) for b in seen[:n]) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("camera", CAMERAS)
def test_every_camera_keeps_the_frame_filled(camera: str) -> None:
    shot = Shot(frames=30, hold=2, view=0, speed="fast")
    film = BrickFilm(size=SMALL, shots=(shot,), scene="harbour", camera=camera, lighting="day")
    for picture in film.pictures():
        assert picture.shape == (180, 320, 3)
        assert picture[:4].mean() > 100, "sky, not the plate's edge"


def test_words_and_looks_agree() -> None:
    assert set(PALETTES) == set(PLASTICS)
    assert set(LIGHTINGS) == set(LIGHTS)


def test_a_figure_moves_its_limbs_and_keeps_its_size() -> None:
    body = figure(Look(torso=WHITE, legs=WHITE, skin=WHITE))
    still = body.posed(limbs(Pose(left_arm=0, right_arm=0), np.eye(4)))
    raised = body.posed(limbs(Pose(left_arm=0, right_arm=150), np.eye(4)))
    moved = np.linalg.norm(raised.points - still.points, axis=1) > 0.01
    assert set(body.joint[moved].tolist()) == {4}
    assert raised.points[moved, 1].max() > 4.2 > still.points[moved, 1].max()
    assert still.points[:, 1].min() == pytest.approx(0, abs=1e-5)
    np.testing.assert_allclose(np.linalg.norm(raised.normal, axis=1), 1, atol=1e-4)


def test_the_nearer_of_two_boxes_hides_the_other() -> None:
    lens = Perspective(np.array([0.0, 0.5, -10.0]), np.eye(3), 100.0, (50.0, 50.0))
    near, far = box(-0.5, 0, 0, 1, 1, 1, WHITE), box(-2, -1, 4, 4, 3, 1, WHITE)
    for meshes, owner in (((near, far), 0), ((far, near), 1)):
        seen = rasterise(merge(meshes), lens, (100, 100))
        assert merge(meshes).part[seen.face[50, 50]] == owner
        assert 1 / seen.key[50, 50] == pytest.approx(10, rel=0.01)
        assert seen.face[0, 0] == -1


def test_repeating_equals_merging() -> None:
    stud = cylinder(0, 0, 0, 0.2, 0.3, WHITE, 8)
    offsets = np.array([[0, 0, 0], [1, 0, 0], [0, 2, 5]], np.float32)
    again = repeat(stud, offsets)
    by_hand = merge([stud.moved(*map(float, offset)) for offset in offsets])
    for name in ("points", "faces", "part", "first", "normal", "colour"):
        np.testing.assert_array_equal(getattr(again, name), getattr(by_hand, name))
