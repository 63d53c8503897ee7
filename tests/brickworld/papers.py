"""Draw flat scenes as real stop motion has them: plain cards, folded paper, clay, pale drawings.

A scene is a function from a pose's number to a picture, RGB, [H, W, 3], 0 to 255. Its seed
chooses colours and shapes; poses of one scene share ground and colours.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from tests.brickworld.kinds import Array

SIZE = (320, 180)
Scene = Callable[[int], Array]
COLORS = (
    (60, 110, 170),
    (80, 150, 90),
    (200, 170, 60),
    (180, 70, 60),
    (120, 80, 150),
    (60, 60, 70),
)


def plain_card(seed: int) -> Scene:
    """Return a card of one colour, on which one word after another appears."""
    color = np.array(COLORS[seed % len(COLORS)], np.float32)

    def draw(pose: int) -> Array:
        picture = _ground(color, seed, grain=1.5)
        for word in range(min(pose + 1, 4)):
            at = (60 + 50 * (word % 2), 60 + 25 * word)
            cv2.putText(picture, "word", at, cv2.FONT_HERSHEY_SIMPLEX, 0.8, (240, 240, 235), 2)
        return picture

    return draw


def folded_paper(seed: int) -> Scene:
    """Return white paper on a card, in another fold at each pose: most texture is in what moves."""
    color = np.array(COLORS[seed % len(COLORS)], np.float32)

    def draw(pose: int) -> Array:
        rng = np.random.default_rng((seed, pose))
        picture = _ground(color, seed, grain=1.5)
        corners = _blob(rng, sides=5, reach=(60, 85))
        cv2.fillPoly(picture, [corners], (235, 235, 230))
        for shade in (205, 180):
            edge = corners[rng.permutation(len(corners))[:3]]
            cv2.fillPoly(picture, [edge], (shade, shade, shade))
        return picture

    return draw


def clay(seed: int) -> Scene:
    """Return a lump of clay that fills the picture and is pressed a little at each pose."""
    color = np.array(COLORS[seed % len(COLORS)], np.float32)
    lump = _blob(np.random.default_rng(seed), sides=12, reach=(85, 110))
    dents = np.random.default_rng(seed).normal(0, 14, (9, 16))

    def draw(pose: int) -> Array:
        rng = np.random.default_rng((seed, pose))
        picture = _ground(color * 0.5, seed, grain=3)
        pressed = lump + rng.integers(-9, 10, lump.shape)
        cv2.fillPoly(picture, [pressed.astype(np.int32)], tuple(map(float, color)))
        changed = (dents + rng.normal(0, 6, dents.shape)).astype(np.float32)
        return picture + cv2.resize(changed, SIZE)[..., None]

    return draw


def pale_drawing(seed: int) -> Scene:
    """Return a figure of thin grey lines on white."""
    at = np.random.default_rng(seed).uniform((90, 50), (230, 70))

    def draw(pose: int) -> Array:
        rng = np.random.default_rng((seed, pose))
        picture = _ground(np.array((248, 248, 246), np.float32), seed, grain=1)
        x, y = (at + rng.uniform(-4, 4, 2)).astype(int)
        line = (170 + 10 * (seed % 3),) * 3
        cv2.circle(picture, (int(x), int(y)), 16 + 5 * (seed % 3), line, 1, cv2.LINE_AA)
        for _ in range(4):
            end = (int(x + rng.uniform(-45, 45)), int(y + rng.uniform(40, 90)))
            cv2.line(picture, (int(x), int(y) + 30), end, line, 1, cv2.LINE_AA)
        return picture

    return draw


def table(seed: int) -> Scene:
    """Return a set of patches on cloth, before which a figure moves."""
    rng = np.random.default_rng(seed)
    cloth = _ground(np.array(COLORS[seed % len(COLORS)], np.float32), seed, grain=14)
    for _ in range(14):
        x, y, *half = (int(v) for v in rng.uniform((0, 0, 8, 8), (320, 180, 40, 30)))
        tint = tuple(float(v) for v in rng.uniform(30, 230, 3))
        cv2.rectangle(cloth, (x - half[0], y - half[1]), (x + half[0], y + half[1]), tint, -1)

    def draw(pose: int) -> Array:
        picture = cloth.copy()
        x = 60 + (23 * pose + 11 * seed) % 200
        cv2.ellipse(picture, (x, 110), (16, 40), 0, 0, 360, (220, 190, 150), -1)
        return picture

    return draw


def with_exposure_jumps(scene: Scene) -> Scene:
    """Return a scene whose exposure is another one at each pose."""
    return lambda pose: scene(pose) * np.random.default_rng(pose).uniform(0.7, 1.25)


def with_white_balance_jumps(scene: Scene) -> Scene:
    """Return a scene whose red and blue are other ones at each pose."""

    def draw(pose: int) -> Array:
        red = np.random.default_rng(pose).uniform(0.85, 1.15)
        return scene(pose) * np.array((red, 1, 2 - red))

    return draw


def with_disc(scene: Scene) -> Scene:
    """Return a scene over which a yellow disc grows and leaves again, once in 20 poses."""

    def draw(pose: int) -> Array:
        picture = np.ascontiguousarray(scene(pose))
        radius = 50 * (pose % 20 - 4)
        if 0 < radius <= 250:
            cv2.circle(picture, (160, 90), radius, (235, 235, 20), -1)
        return picture

    return draw


def with_nudges(scene: Scene) -> Scene:
    """Return a scene whose camera is pushed by up to ten pixels at each pose."""

    def draw(pose: int) -> Array:
        x, y = np.random.default_rng(pose).integers(-10, 11, 2)
        shift = np.array([[1, 0, x], [0, 1, y]], np.float32)
        return cv2.warpAffine(scene(pose), shift, SIZE, borderMode=cv2.BORDER_REFLECT)

    return draw


def _ground(color: Array, seed: int, *, grain: float) -> Array:
    noise = np.random.default_rng(seed).normal(0, grain, (SIZE[1], SIZE[0], 1))
    return np.clip(color + noise, 0, 255).astype(np.uint8)


def _blob(rng: np.random.Generator, *, sides: int, reach: tuple[float, float]) -> Array:
    """Return the corners of a polygon around the middle, [sides, 2] of integers."""
    angles = np.sort(rng.uniform(0, 2 * np.pi, sides))
    radii = rng.uniform(*reach, sides)
    middle = np.array(SIZE) / 2
    corners = middle + radii[:, None] * np.stack((1.5 * np.cos(angles), np.sin(angles)), axis=1)
    return corners.astype(np.int32)
