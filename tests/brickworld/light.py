"""Light on plastic: one sun or moon or desk lamp with shadows, a sky, and small lamps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import cos, sin, sqrt

import cv2
import numpy as np

from tests.brickworld.kinds import Array
from tests.brickworld.mesh import Colour, Mesh
from tests.brickworld.raster import BEHIND, Parallel, rasterise

MAP_PIXELS = 1024
"""Side of a shadow map."""
SMALL = 0.8
"""Studs; fingers and single studs of an actor cast no shadow that one would see."""
CAST_PIXELS = 480
"""Longer side of an actor's own shadow map."""
BIAS = 0.12
"""Studs a surface may lie under the shadow map before it is in shadow."""


@dataclass(frozen=True, kw_only=True)
class Lighting:
    """Colours are linear light."""

    sun: tuple[float, float, float] = (-0.55, 0.75, -0.5)
    """Towards the light."""
    sun_colour: Colour = (1.0, 0.95, 0.86)
    sky: Colour = (0.42, 0.46, 0.52)
    """From above."""
    bounce: Colour = (0.2, 0.19, 0.17)
    """From below."""
    backdrop: Colour = (1.0, 1.0, 1.0)
    """Factor on the painted sky."""
    spot: float = 0.0
    """Radius in studs of a desk lamp's pool of light; 0 is a sun that lights all."""
    lamps: float = 0.0
    """Strength of lamps and of lit windows."""


LIGHTINGS = {
    "day": Lighting(),
    "overcast": Lighting(
        sun=(-0.3, 0.9, -0.35),
        sun_colour=(0.42, 0.43, 0.45),
        sky=(0.62, 0.64, 0.67),
        bounce=(0.33, 0.33, 0.33),
        backdrop=(0.78, 0.78, 0.8),
    ),
    "dusk": Lighting(
        sun=(-0.85, 0.42, -0.42),
        sun_colour=(1.25, 0.72, 0.36),
        sky=(0.24, 0.24, 0.36),
        bounce=(0.17, 0.12, 0.1),
        backdrop=(1.0, 0.66, 0.46),
        lamps=0.6,
    ),
    "night": Lighting(
        sun=(0.5, 0.8, -0.35),
        sun_colour=(0.16, 0.22, 0.4),
        sky=(0.055, 0.07, 0.13),
        bounce=(0.03, 0.03, 0.045),
        backdrop=(0.05, 0.07, 0.16),
        lamps=1.0,
    ),
    "lamp": Lighting(
        sun=(0.45, 0.85, -0.45),
        sun_colour=(1.35, 1.0, 0.6),
        sky=(0.13, 0.115, 0.1),
        bounce=(0.1, 0.075, 0.05),
        backdrop=(0.2, 0.15, 0.11),
        spot=15.0,
        lamps=0.5,
    ),
}


@dataclass(frozen=True)
class Lamp:
    """A small light without shadows."""

    place: tuple[float, float, float]
    colour: Colour = (1.0, 0.72, 0.36)
    reach: float = 4.0
    """Studs at which it has lost half its strength."""


Taps = tuple[tuple[float, float], ...]
HARD: Taps = ((0.0, 0.0),)
EDGED: Taps = ((-1.2, 0.4), (1.2, -0.4), (0.4, 1.2), (-0.4, -1.2))
SOFT: Taps = tuple(
    (2.1 * cos(2.4 * k) * sqrt(k / 12), 2.1 * sin(2.4 * k) * sqrt(k / 12)) for k in range(12)
)
"""Offsets in map pixels; the last is a sunflower's spiral."""


@dataclass(frozen=True)
class Map:
    """A shadow map: its lens and the keys of the nearest surfaces."""

    lens: Parallel
    key: Array

    def sunlit(self, beam: Array, taps: Taps = HARD) -> Array:
        """[N] share of the light that reaches places given in the light's own axes, `beam` [3, N].

        What lies beyond the map is lit.
        """
        x = self.lens.scale * beam[0] + self.lens.centre[0]
        y = self.lens.centre[1] - self.lens.scale * beam[1]
        reach = (self.lens.far + BIAS) - beam[2]
        lit = np.zeros(beam.shape[1:], np.float32)
        for dx, dy in taps:
            lit += self._at(x + dx, y + dy) <= reach
        return lit / len(taps)

    def key_at(self, points: Array) -> Array:
        """[N] the map's key over or under places [N, 3]."""
        screen, _ = self.lens.project(points)
        return self._at(screen[:, 0], screen[:, 1])

    def _at(self, x: Array, y: Array) -> Array:
        """The map's keys at pixels [N]; OpenCV's remap wants two dimensions of less than 2**15."""
        shape = x.shape
        if x.ndim == 1:
            pad = -len(x) % 256
            x, y = (np.pad(v, (0, pad)).reshape(-1, 256) for v in (x, y))
        found: Array = cv2.remap(
            self.key,
            x.astype(np.float32),
            y.astype(np.float32),
            cv2.INTER_NEAREST,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=BEHIND,
        )
        return found if found.shape == shape else found.ravel()[: shape[0]]


def look_along(direction: tuple[float, float, float] | Array) -> Array:
    """[3, 3] axes (right, up, forward) of something that looks along `direction`."""
    forward = np.asarray(direction, float) / np.linalg.norm(direction)
    helper = np.array([0.0, 1.0, 0.0]) if abs(forward[1]) < 0.99 else np.array([0.0, 0.0, 1.0])
    right = np.cross(helper, forward)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(forward, right), forward])


def light_lens(direction: tuple[float, float, float], centre: Array, radius: float) -> Parallel:
    """A parallel view along `direction` that holds a ball round `centre`."""
    axes = look_along(direction)
    scale = MAP_PIXELS / (2 * radius)
    u, v = axes[0] @ centre, axes[1] @ centre
    half = MAP_PIXELS / 2
    return Parallel(axes, scale, (half - scale * float(u), half + scale * float(v)))


def light_map(mesh: Mesh, lens: Parallel) -> Map:
    """Render the shadow map of `mesh`."""
    return Map(lens, rasterise(mesh, lens, (MAP_PIXELS, MAP_PIXELS), prints=False).key)


def cast_map(mesh: Mesh, towards: Parallel) -> Map:
    """Render the shadow map of an actor alone, as finely as its extent allows."""
    plain, _ = replace(towards, scale=1.0, centre=(0.0, 0.0)).project(mesh.points)
    low, high = plain.min(axis=0), plain.max(axis=0)
    scale = float(np.clip(CAST_PIXELS / (high - low).max(), towards.scale, 40.0))
    border = 3
    centre = (border - scale * float(low[0]), border - scale * float(low[1]))
    lens = replace(towards, scale=scale, centre=centre)
    size = np.ceil((high - low) * scale).astype(int) + 2 * border
    whole = (int(size[0]), int(size[1]))
    seen = rasterise(mesh.coarse(SMALL), lens, whole, prints=False)
    return Map(lens, seen.key)


def openness(mesh: Mesh, centre: Array, radius: float) -> Map:
    """Heights seen from above, blurred: what is far below its neighbourhood gets little sky."""
    lens = light_lens((0.0, -1.0, 0.0), centre, radius)
    lens = replace(lens, far=0.0)
    key = light_map(mesh, lens).key
    height = np.where(key <= BEHIND / 2, 0, key).astype(np.float32)
    near, wide = (cv2.GaussianBlur(height, (0, 0), lens.scale * s) for s in (0.5, 1.8))
    return Map(lens, 0.55 * near + 0.45 * wide)


def shade(
    points: Array,
    normals: Array,
    eye: Array,
    look: tuple[Array, Array, Array],
    lighting: Lighting,
    lamps: tuple[Lamp, ...],
    above: Map | None,
) -> tuple[Array, Array]:
    """Light that always arrives, and light that a shadow may take; both [N, 3].

    `look` is colour [N, 3], gloss [N] and glow [N] of the surface.
    """
    colour, gloss, glow = look
    view = eye - points
    view /= np.linalg.norm(view, axis=1, keepdims=True)
    up = 0.5 + 0.5 * normals[:, 1:2]
    around = (
        np.array(lighting.bounce, np.float32) * (1 - up) + np.array(lighting.sky, np.float32) * up
    )
    if above is not None:
        out = points + normals * 0.5
        height = above.key_at(out)
        around *= (1 - 0.7 * np.clip((height - out[:, 1]) / 3.0, 0, 1))[:, None]
    rim = (1 - np.clip((view * normals).sum(axis=1), 0, 1)) ** 3 * gloss * 0.35
    base = colour * around + rim[:, None] * around
    base += colour * (glow * lighting.lamps)[:, None]
    for lamp in lamps if lighting.lamps else ():
        base += colour * _lamp(lamp, points, normals, lighting.lamps)
    return base, _sun(points, normals, view, colour, gloss, lighting)


def _lamp(lamp: Lamp, points: Array, normals: Array, strength: float) -> Array:
    towards = np.array(lamp.place, np.float32) - points
    distance = np.linalg.norm(towards, axis=1)
    facing = np.clip((towards * normals).sum(axis=1) / np.maximum(distance, 0.05), 0, 1)
    fall = strength * (0.25 + facing) / (1 + (distance / lamp.reach) ** 2) ** 1.5
    light: Array = fall[:, None] * np.array(lamp.colour, np.float32)
    return light


def _sun(
    points: Array, normals: Array, view: Array, colour: Array, gloss: Array, lighting: Lighting
) -> Array:
    sun = np.array(lighting.sun, np.float32)
    sun /= np.linalg.norm(sun)
    facing: Array = np.clip(normals @ sun, 0, 1)
    half = view + sun
    half /= np.linalg.norm(half, axis=1, keepdims=True)
    shine = np.clip((half * normals).sum(axis=1), 0, 1)
    shine2 = shine * shine
    shine8 = (shine2 * shine2) ** 2
    spark: Array = (0.55 * shine8**4 + 0.10 * shine8) * gloss * (facing > 0)
    if lighting.spot:
        pool = np.hypot(points[:, 0], points[:, 2]) / lighting.spot
        fade = (1 / (1 + pool**4)).astype(np.float32)
        facing, spark = facing * fade, spark * fade
    lit: Array = (colour * facing[:, None] + spark[:, None]) * np.array(
        lighting.sun_colour, np.float32
    )
    return lit
