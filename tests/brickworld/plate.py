"""A set-up: the set as one camera position sees it, drawn once; the actors, drawn every time.

What stands is kept in two layers: the light that always arrives, and the light that an actor's
shadow may take.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from tests.brickworld.backdrop import backdrop
from tests.brickworld.kinds import Array
from tests.brickworld.light import (
    EDGED,
    SOFT,
    Lighting,
    Map,
    cast_map,
    light_lens,
    light_map,
    look_along,
    openness,
    shade,
)
from tests.brickworld.mesh import Mesh
from tests.brickworld.raster import Perspective, Seen, rasterise
from tests.brickworld.samples import FINE, Samples, samples_of
from tests.brickworld.stage import Stage, View

RADIUS = 34.0
"""Studs round the middle of the set that have shadows."""
WORLD = np.eye(3)
CONTACT = 128
"""Side of the map of what stands close to the ground, in pixels."""


@dataclass(frozen=True)
class LitSet:
    """A set under its light: shared by all camera positions on it."""

    stage: Stage
    lighting: Lighting
    sun: Map
    above: Map


def light_set(stage: Stage, lighting: Lighting) -> LitSet:
    """Compute the sun's shadow map and the sky's reach."""
    centre = np.array([0.0, 2.0, 4.0])
    lens = light_lens((-lighting.sun[0], -lighting.sun[1], -lighting.sun[2]), centre, RADIUS)
    sun = light_map(stage.still, lens)
    return LitSet(stage, lighting, sun, openness(stage.still, centre, RADIUS))


def lens_of(view: View, size: tuple[int, int], frame: int) -> Perspective:
    """The camera of `view` on a plate of `size` pixels, of which `frame` columns are a frame."""
    eye, target = np.array(view.eye, float), np.array(view.target, float)
    focal = frame / 2 / np.tan(np.radians(view.angle) / 2)
    return Perspective(eye, look_along(target - eye), float(focal), (size[0] / 2, size[1] / 2))


class Plate:
    """One set-up. `size` is the plate's in pixels; a frame is `frame` columns of it."""

    def __init__(self, lit: LitSet, view: View, size: tuple[int, int], frame: int) -> None:
        self.lit, self.size = lit, size
        fine = (size[0] * FINE, size[1] * FINE)
        self.lens = lens_of(view, fine, frame * FINE)
        self.seen = rasterise(lit.stage.still, self.lens, fine)
        base, sunny = self._paint()
        blur = self._blur(view)
        self.base, self.sunny = _defocus(base, blur), _defocus(sunny, blur)
        self.still = display(self.base + self.sunny)
        self.place = self._places()

    def _paint(self) -> tuple[Array, Array]:
        """Both layers of the set, [H, W, 3]."""
        lit, mesh = self.lit, self.lit.stage.still
        samples = samples_of(self.seen, mesh)
        points = samples.linear(self.lens, WORLD).T
        normals = mesh.normal[samples.face]
        colour = mesh.colour[samples.face] * samples.tint[:, None]
        look = (colour, mesh.gloss[samples.face], mesh.glow[samples.face])
        eye = self.lens.eye.astype(np.float32)
        always, sun = shade(points, normals, eye, look, lit.lighting, lit.stage.lamps, lit.above)
        sun *= lit.sun.sunlit(self._beam(samples, mesh, 0.16), SOFT)[:, None]
        base = backdrop(self.lens, self.size, lit.stage, lit.lighting)
        sunny = np.zeros_like(base)
        at = samples.rows, samples.columns
        base[at] = base[at] * (1 - samples.cover()[:, None]) + samples.per_pixel(always)
        sunny[at] = samples.per_pixel(sun)
        return base, sunny

    def _beam(
        self, samples: Samples, mesh: Mesh, lift: float, lens: Perspective | None = None
    ) -> Array:
        """[3, S] the samples in the sun's axes, lifted off their faces by `lift` studs."""
        axes = self.lit.sun.lens.axes
        lifted = (mesh.normal @ (axes.T * lift).astype(np.float32))[samples.face]
        beam: Array = samples.linear(lens or self.lens, axes) + lifted.T
        return beam

    def _blur(self, view: View) -> Array:
        """[H, W] how far out of focus each pixel is, 0..1; what is near stays sharp."""
        key = self.seen.key[::FINE, ::FINE]
        focus = float(np.linalg.norm(np.subtract(view.target, view.eye)))
        sky = focus * (1.0 if self.lit.stage.stars else 2.0)
        depth = np.where(key > 0, 1 / np.maximum(key, 1e-3), sky)
        out: Array = np.clip((depth - focus * 1.25) / (focus * 1.5), 0, 1).astype(np.float32)
        return out

    def _places(self) -> tuple[Array, Array]:
        """Return each pixel's position in the sun's axes and in the world's, both [3, H, W]."""
        key = self.seen.key[::FINE, ::FINE]
        grid: Array = np.indices(key.shape, np.int32) * FINE
        none = np.zeros(0, np.int32)
        everywhere = Samples(none, none, 0, none, none, none, grid[0], grid[1], key)
        return tuple(everywhere.linear(self.lens, axes) for axes in (self.lit.sun.lens.axes, WORLD))  # type: ignore[return-value]

    def draw(self, mesh: Mesh | None) -> Array:
        """The plate [H, W, 3] uint8 RGB with a moving mesh on it."""
        picture = self.still.copy()
        if mesh is None or not len(mesh.faces):
            return picture
        cast = cast_map(mesh, self.lit.sun.lens)
        self._shadow(picture, mesh, cast)
        self._actors(picture, mesh, cast)
        return picture

    def _window(self, points: Array, grow: int) -> tuple[int, int, int, int]:
        """Plate pixels (x0, y0, x1, y1) that hold `points`."""
        screen, _ = self.lens.project(points)
        screen = screen[np.isfinite(screen).all(axis=1)] / FINE
        if not len(screen):
            return 0, 0, 0, 0
        low = np.clip(np.floor(screen.min(axis=0)) - grow, 0, self.size).astype(int)
        high = np.clip(np.ceil(screen.max(axis=0)) + grow, 0, self.size).astype(int)
        return int(low[0]), int(low[1]), int(high[0]), int(high[1])

    def _shadow(self, picture: Array, mesh: Mesh, cast: Map) -> None:
        """Darken the mesh's shadow, and the ground close to it."""
        sun = np.array(self.lit.lighting.sun, np.float32)
        corners = mesh.points[mesh.first]
        ground = corners - sun * (corners[:, 1:2] / sun[1])
        x0, y0, x1, y1 = self._window(np.concatenate([corners, ground]), 24)
        if x1 <= x0 or y1 <= y0:
            return
        beam, world = (place[:, y0:y1, x0:x1] for place in self.place)
        keep = cv2.GaussianBlur(cast.sunlit(beam), (0, 0), 1.1)
        close = _close(world, mesh)
        rows, columns = np.nonzero((keep < 0.995) | (close < 0.995))
        at = rows + y0, columns + x0
        light = self.base[at] * close[rows, columns, None]
        light += self.sunny[at] * keep[rows, columns, None]
        picture[at] = (np.sqrt(np.minimum(light, 1)) * 255).astype(np.uint8)

    def _actors(self, picture: Array, mesh: Mesh, cast: Map) -> None:
        x0, y0, x1, y1 = self._window(mesh.points, 2)
        if x1 <= x0 or y1 <= y0:
            return
        fine = (slice(y0 * FINE, y1 * FINE), slice(x0 * FINE, x1 * FINE))
        centre = (self.lens.centre[0] - x0 * FINE, self.lens.centre[1] - y0 * FINE)
        lens = replace(self.lens, centre=centre)
        size = ((x1 - x0) * FINE, (y1 - y0) * FINE)
        seen = rasterise(mesh, lens, size, Seen(self.seen.face[fine], self.seen.key[fine]))
        samples = samples_of(seen, mesh)
        if not len(samples.rows):
            return
        beam = self._beam(samples, mesh, 0.16, lens)
        light = cast.sunlit(beam, EDGED) * self.lit.sun.sunlit(beam)
        always, sun = self._paint_faces(mesh)
        colour = always[samples.face] + sun[samples.face] * light[:, None]
        colour *= samples.tint[:, None]
        share = samples.cover()[:, None]
        bright = np.sqrt(np.minimum(samples.per_pixel(colour) / share, 1)) * 255
        at = samples.rows + y0, samples.columns + x0
        under = picture[at]
        picture[at] = (under + (bright - under) * share).astype(np.uint8)

    def _paint_faces(self, mesh: Mesh) -> tuple[Array, Array]:
        """Light of each face of an actor, [F, 3]: faces are small, so one value a face will do."""
        middle = (mesh.points[mesh.faces[:, 0]] + mesh.points[mesh.faces[:, 2]]) / 2
        eye = self.lens.eye.astype(np.float32)
        look = (mesh.colour, mesh.gloss, mesh.glow)
        stage = self.lit.stage
        return shade(middle, mesh.normal, eye, look, self.lit.lighting, stage.lamps, None)


def _close(world: Array, mesh: Mesh) -> Array:
    """[H, W] share of the sky that the mesh leaves to the ground near its feet; world [3, H, W]."""
    low = mesh.points[mesh.points[:, 1] < 1.0]
    scale = CONTACT / (2 * RADIUS)
    spot = ((low[:, [0, 2]] + [RADIUS, RADIUS - 4]) * scale).astype(int)
    spot = spot[((spot >= 0) & (spot < CONTACT)).all(axis=1)]
    if not len(spot):
        return np.ones(world.shape[1:], np.float32)
    cover = np.zeros((CONTACT, CONTACT), np.float32)
    cover[spot[:, 1], spot[:, 0]] = 1
    cover = cv2.GaussianBlur(cv2.dilate(cover, np.ones((2, 2))), (0, 0), 1.2)
    x = (world[0] + RADIUS) * np.float32(scale)
    z = (world[2] + (RADIUS - 4)) * np.float32(scale)
    around = cv2.remap(cover, x, z, cv2.INTER_LINEAR)
    share: Array = 1 - 0.6 * np.minimum(around * 1.3, 1) * (world[1] < 1.0)
    return share


def display(light: Array) -> Array:
    """Linear light to 8-bit values of gamma 2."""
    picture: Array = cv2.convertScaleAbs(cv2.sqrt(np.minimum(light, 1.0)), alpha=255)
    return picture


def _defocus(layer: Array, blur: Array) -> Array:
    """Blur what is far behind the focus."""
    width = layer.shape[1]
    soft = cv2.GaussianBlur(layer, (0, 0), width / 320)
    softer = cv2.GaussianBlur(layer, (0, 0), width / 130)
    share = cv2.GaussianBlur(blur, (0, 0), width / 400)[..., None]
    first = np.minimum(share * 2, 1)
    second = np.maximum(share * 2 - 1, 0)
    layer = layer * (1 - first) + soft * first
    out: Array = layer * (1 - second) + softer * second
    return out
