"""The painted sky behind a set."""

from __future__ import annotations

import cv2
import numpy as np

from tests.brickworld.kinds import Array
from tests.brickworld.light import Lighting
from tests.brickworld.palette import plastic
from tests.brickworld.raster import Perspective
from tests.brickworld.stage import Stage


def backdrop(lens: Perspective, size: tuple[int, int], stage: Stage, lighting: Lighting) -> Array:
    """[H, W, 3] linear light for every pixel: a gradient, clouds, or stars."""
    width, height = size
    coarse = 4  # of the lens's samples, two a pixel
    small = Perspective(
        lens.eye, lens.axes, lens.focal / coarse, (lens.centre[0] / coarse, lens.centre[1] / coarse)
    )
    rays = small.rays(-(-width // 2), -(-height // 2))
    rise = rays[..., 1] / np.linalg.norm(rays, axis=2)
    share = np.clip((rise + 0.08) / 0.55, 0, 1)[..., None] ** 0.8
    low, high = (np.array(plastic(code), np.float32) for code in stage.sky)
    sky = low * (1 - share) + high * share
    if not stage.stars:
        sky += (_clouds(rays) * 0.35)[..., None] * (1 - sky)
    sky = cv2.resize(sky * np.array(lighting.backdrop, np.float32), size)
    if stage.stars or max(lighting.backdrop) < 0.18:
        _stars(sky, lens)
    return np.ascontiguousarray(sky, np.float32)


def _clouds(rays: Array) -> Array:
    """[H, W] smooth heaps, fixed to the directions so that a camera may turn."""
    angle = np.arctan2(rays[..., 0], rays[..., 2]) * 5
    rise = rays[..., 1] * 14
    heaps = sum(
        np.sin(angle * f + p) * np.cos(rise * f * 0.8 + 2 * p) / f
        for f, p in ((1.0, 0.4), (1.9, 2.1), (3.7, 4.4), (7.1, 1.3))
    )
    clouds: Array = np.clip(np.asarray(heaps) * 1.4 - 0.35, 0, 1).astype(np.float32)
    return clouds


def _stars(sky: Array, lens: Perspective) -> None:
    rng = np.random.default_rng(11)
    points = rng.normal(size=(900, 3)) * [1, 0.7, 1]
    points = lens.eye + 1000 * np.abs(points) * np.sign(points)
    screen, key = lens.project(points)
    height, width = sky.shape[:2]
    for (x, y), depth, bright in zip(screen, key, rng.uniform(0.15, 1.0, 900), strict=True):
        x, y = x / 2, y / 2
        if np.isfinite(depth) and 0 <= x < width and 0 <= y < height:
            cv2.circle(sky, (int(x), int(y)), int(bright > 0.8), (bright,) * 3, -1)
