"""A set-up: the set as one camera position sees it, drawn once; the actors, drawn every time.

Everything is drawn at twice the size and averaged down. What stands is kept in two layers: the
light that always arrives, and the light that an actor's shadow may take.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from brickfilm.render.backdrop import backdrop
from brickfilm.render.kinds import Array
from brickfilm.render.light import (
    EDGED,
    SOFT,
    Lighting,
    Map,
    cast_map,
    light_lens,
    light_map,
    look_along,
    openness,
    positions,
    shade,
)
from brickfilm.render.mesh import Mesh
from brickfilm.render.raster import Perspective, Seen, normals_of, rasterise
from brickfilm.render.stage import Stage, View

FINE = 2
"""Samples a pixel, each way."""
RADIUS = 34.0
"""Studs round the middle of the set that have shadows."""
SEAM, CREASE = 0.62, 1.22
"""Brightness where two bricks meet, and on the edge of one."""


@dataclass(frozen=True)
class LitSet:
    """A set under its light: shared by all camera positions on it."""

    stage: Stage
    lighting: Lighting
    normals: Array
    sun: Map
    above: Map


def light_set(stage: Stage, lighting: Lighting) -> LitSet:
    """Work out what the sun and the sky see."""
    centre = np.array([0.0, 2.0, 4.0])
    lens = light_lens((-lighting.sun[0], -lighting.sun[1], -lighting.sun[2]), centre, RADIUS)
    return LitSet(
        stage,
        lighting,
        normals_of(stage.still),
        light_map(stage.still, lens),
        openness(stage.still, centre, RADIUS),
    )


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
        self.seen = rasterise(lit.stage.still, lit.normals, self.lens, fine)
        base, sunny = self._paint()
        blur = self._blur(view)
        self.base, self.sunny = _defocus(_reduce(base), blur), _defocus(_reduce(sunny), blur)
        self.still = display(self.base + self.sunny)
        self._places()

    def _paint(self) -> tuple[Array, Array]:
        lit, mesh = self.lit, self.lit.stage.still
        width, height = self.size[0] * FINE, self.size[1] * FINE
        base = backdrop(self.lens, (width, height), lit.stage, lit.lighting)
        sunny = np.zeros_like(base)
        rows, columns = np.nonzero(self.seen.face >= 0)
        face = self.seen.face[rows, columns]
        points = positions(self.seen, self.lens, rows, columns)
        edges = _edges(self.seen, mesh, lit.normals)[rows, columns]
        look = (mesh.colour[face] * edges[:, None], mesh.gloss[face], mesh.glow[face])
        eye = self.lens.eye.astype(np.float32)
        normals = lit.normals[face]
        always, sun = shade(points, normals, eye, look, lit.lighting, lit.stage.lamps, lit.above)
        base[rows, columns] = always
        sunny[rows, columns] = sun * lit.sun.sunlit(points + normals * 0.04, SOFT)[:, None]
        return base, sunny

    def _blur(self, view: View) -> Array:
        """[H, W] how far out of focus each pixel is, 0..1; what is near stays sharp."""
        key = self.seen.key[::FINE, ::FINE]
        focus = float(np.linalg.norm(np.subtract(view.target, view.eye)))
        depth = np.where(key > 0, 1 / np.maximum(key, 1e-3), 4 * focus)
        out: Array = np.clip((depth - focus * 1.25) / (focus * 1.5), 0, 1).astype(np.float32)
        return out

    def _places(self) -> None:
        """Where each pixel of the plate stands, for the actors' shadows."""
        coarse = Seen(self.seen.face[::FINE, ::FINE], self.seen.key[::FINE, ::FINE])
        lens = replace(
            self.lens,
            focal=self.lens.focal / FINE,
            centre=(self.lens.centre[0] / FINE, self.lens.centre[1] / FINE),
        )
        height, width = coarse.face.shape
        rows, columns = np.nonzero(coarse.face >= 0)
        self.place = np.full((height, width, 3), 1e4, np.float32)
        self.place[rows, columns] = positions(coarse, lens, rows, columns)

    def draw(self, mesh: Mesh | None) -> Array:
        """The plate [H, W, 3] uint8 RGB with a moving mesh on it."""
        picture = self.still.copy()
        if mesh is None or not len(mesh.faces):
            return picture
        normals = normals_of(mesh)
        cast = cast_map(mesh, normals, self.lit.sun.lens)
        self._shadow(picture, mesh, cast)
        self._actors(picture, mesh, normals, cast)
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
        """Darken what the mesh keeps the sun from, and the ground close to it."""
        sun = np.array(self.lit.lighting.sun, np.float32)
        points = mesh.points
        ground = points - sun * (points[:, 1:2] / sun[1])
        x0, y0, x1, y1 = self._window(np.concatenate([points, ground]), 12)
        if x1 <= x0 or y1 <= y0:
            return
        area = (slice(y0, y1), slice(x0, x1))
        place = self.place[area].reshape(-1, 3)
        lit = cast.sunlit(place).reshape(y1 - y0, x1 - x0)
        keep = cv2.GaussianBlur(lit, (0, 0), 1.1)
        close = self._close(place, mesh).reshape(y1 - y0, x1 - x0, 1)
        picture[area] = display(self.base[area] * close + self.sunny[area] * keep[..., None])

    def _close(self, place: Array, mesh: Mesh) -> Array:
        """[N] share of the sky that the mesh leaves to the ground near its feet."""
        low = mesh.points[mesh.points[:, 1] < 1.0]
        if not len(low):
            return np.ones(len(place), np.float32)
        side, scale = 256, 256 / (2 * RADIUS)
        spot = ((low[:, [0, 2]] + [RADIUS, RADIUS - 4]) * scale).astype(int).clip(0, side - 1)
        cover = np.zeros((side, side), np.float32)
        cover[spot[:, 1], spot[:, 0]] = 1
        cover = cv2.GaussianBlur(cv2.dilate(cover, np.ones((3, 3))), (0, 0), 2.4)
        x = ((place[:, 0] + RADIUS) * scale).clip(0, side - 1).astype(np.int32)
        z = ((place[:, 2] + RADIUS - 4) * scale).clip(0, side - 1).astype(np.int32)
        shade: Array = 1 - 0.6 * np.minimum(cover[z, x] * 1.3, 1) * (place[:, 1] < 1.0)
        return shade

    def _actors(self, picture: Array, mesh: Mesh, normals: Array, cast: Map) -> None:
        x0, y0, x1, y1 = self._window(mesh.points, 2)
        if x1 <= x0 or y1 <= y0:
            return
        fine = (slice(y0 * FINE, y1 * FINE), slice(x0 * FINE, x1 * FINE))
        centre = (self.lens.centre[0] - x0 * FINE, self.lens.centre[1] - y0 * FINE)
        lens = replace(self.lens, centre=centre)
        size = ((x1 - x0) * FINE, (y1 - y0) * FINE)
        seen = rasterise(mesh, normals, lens, size, Seen(self.seen.face[fine], self.seen.key[fine]))
        always, sun = self._paint_faces(mesh, normals)
        edges = _edges(seen, mesh, normals)[..., None]
        base = _reduce(always[seen.face] * edges)
        sunny = _reduce(sun[seen.face] * edges)
        cover = _reduce((seen.face >= 0).astype(np.float32))[..., None]
        rows, columns = np.nonzero(cover[..., 0])
        light = self._light_on(seen, lens, normals, cast, rows, columns)
        area = (slice(y0, y1), slice(x0, x1))
        colour = base[rows, columns] + sunny[rows, columns] * light[:, None]
        share = cover[rows, columns]
        bright = np.sqrt(np.minimum(colour / share, 1)) * 255
        under = picture[area][rows, columns]
        picture[area][rows, columns] = (under + (bright - under) * share).astype(np.uint8)

    def _paint_faces(self, mesh: Mesh, normals: Array) -> tuple[Array, Array]:
        """Light of each face of an actor, [F + 1, 3]: faces are small, so one value will do.

        The last row is black, for pixels of no face.
        """
        middle = mesh.points[mesh.faces].mean(axis=1)
        look = (mesh.colour, mesh.gloss, mesh.glow)
        always, sun = shade(
            middle,
            normals,
            self.lens.eye.astype(np.float32),
            look,
            self.lit.lighting,
            self.lit.stage.lamps,
            None,
        )
        black = np.zeros((1, 3), np.float32)
        return (
            np.concatenate([always, black]).astype(np.float32),
            np.concatenate([sun, black]).astype(np.float32),
        )

    def _light_on(
        self, seen: Seen, lens: Perspective, normals: Array, cast: Map, rows: Array, columns: Array
    ) -> Array:
        """[N] share of the sun on an actor at coarse pixels, from one fine sample each."""
        face = seen.face.reshape(seen.face.shape[0] // FINE, FINE, -1, FINE)
        fine = face.transpose(0, 2, 1, 3).reshape(face.shape[0], face.shape[2], -1)[rows, columns]
        which = fine.argmax(axis=1)
        y, x = rows * FINE + which // FINE, columns * FINE + which % FINE
        normal = normals[seen.face[y, x]]
        points = positions(seen, lens, y, x) + normal * 0.1
        own: Array = cast.sunlit(points, EDGED) * self.lit.sun.sunlit(points, EDGED)
        return own


def _reduce(layer: Array) -> Array:
    """Average FINE x FINE samples to one pixel."""
    height, width = layer.shape[:2]
    small: Array = cv2.resize(layer, (width // FINE, height // FINE), interpolation=cv2.INTER_AREA)
    return small


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


def _edges(seen: Seen, mesh: Mesh, normals: Array) -> Array:
    """[H, W] dark where two parts meet, light on a part's own edges."""
    factor = np.ones(seen.face.shape, np.float32)
    for axis in (0, 1):
        here, there = [slice(None), slice(None)], [slice(None), slice(None)]
        here[axis], there[axis] = slice(0, -1), slice(1, None)
        a, b = tuple(here), tuple(there)
        rows, columns = np.nonzero(seen.face[a] != seen.face[b])
        first, second = seen.face[a][rows, columns], seen.face[b][rows, columns]
        real = (first >= 0) & (second >= 0) & ~mesh.flat[first] & ~mesh.flat[second]
        rows, columns, first, second = (v[real] for v in (rows, columns, first, second))
        same = mesh.part[first] == mesh.part[second]
        keys = seen.key[a][rows, columns], seen.key[b][rows, columns]
        seam = ~same & (np.abs(keys[0] - keys[1]) < 0.012 * keys[0])
        crease = same & ((normals[first] * normals[second]).sum(axis=1) < 0.6)
        factor[a][rows[crease], columns[crease]] = CREASE
        factor[a][rows[seam], columns[seam]] = SEAM
        factor[b][rows[seam], columns[seam]] = SEAM
    return factor
