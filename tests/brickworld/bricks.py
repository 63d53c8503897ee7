"""Bricks, plates, slopes and walls: what a set is built of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import numpy as np

from tests.brickworld.mesh import Colour, Mesh, box, build, cylinder, decal, merge, repeat

BRICK = 1.2
"""Height of a brick in studs; a plate is a third of it."""
PLATE = 0.4
STUD_RADIUS, STUD_HEIGHT = 0.3, 0.2

Opening = tuple[float, int, float, int]
"""A hole in a wall: from (along, row) to (along, row), the end exclusive."""


def tinted(colour: Colour, rng: Random, spread: float = 0.06) -> Colour:
    """The same plastic from another batch."""
    factor = 1 + rng.uniform(-spread, spread)
    return (colour[0] * factor, colour[1] * factor, colour[2] * factor)


def studs(x: float, y: float, z: float, w: int, d: int, colour: Colour, sides: int = 10) -> Mesh:
    """A field of w x d studs on a surface at height y."""
    one = cylinder(x + 0.5, z + 0.5, y, y + STUD_HEIGHT, STUD_RADIUS, colour, sides)
    return repeat(one, np.array([(i, 0, k) for i in range(w) for k in range(d)]))


def floor(
    x: float, z: float, w: int, d: int, colour: Colour, y: float = 0.0, step: int = 3
) -> Mesh:
    """Flat ground in small tiles without seams, so that a camera may stand on it."""
    tiles = []
    for i in range(0, w, step):
        for k in range(0, d, step):
            x0, z0, x1, z1 = x + i, z + k, x + min(w, i + step), z + min(d, k + step)
            tiles.append([(x0, y, z1), (x1, y, z1), (x1, y, z0), (x0, y, z0)])
    first = decal(tiles[0], (0, 1, 0), colour)  # its corners already turn upwards, as all do
    points = np.array(tiles, np.float32).reshape(-1, 3)
    return replace(repeat(first, np.zeros((len(tiles), 3))), points=points)


def brick(
    x: float,
    y: float,
    z: float,
    w: int,
    d: int,
    colour: Colour,
    *,
    h: float = BRICK,
    top: bool = True,
) -> Mesh:
    """A brick w x d studs with its least corner at (x, y, z), a hair smaller than its place."""
    gap = 0.012
    body = box(x + gap, y, z + gap, w - 2 * gap, h - gap, d - 2 * gap, colour)
    return merge([body, studs(x, y + h, z, w, d, colour)]) if top else body


def plate(
    x: float, y: float, z: float, w: int, d: int, colour: Colour, *, top: bool = True
) -> Mesh:
    """A brick of a third the height."""
    return brick(x, y, z, w, d, colour, h=PLATE, top=top)


def slope(x: float, y: float, z: float, w: float, d: float, h: float, colour: Colour) -> Mesh:
    """A roof brick that falls towards the viewer (-z)."""
    return _wedge([(0, 0), (d, 0), (d, h)], x, y, z, w, colour)


def gable(x: float, y: float, z: float, w: float, d: float, h: float, colour: Colour) -> Mesh:
    """A ridged roof whose ridge runs along x."""
    return _wedge([(0, 0), (d, 0), (d / 2, h)], x, y, z, w, colour)


def _wedge(
    side: Sequence[tuple[float, float]], x: float, y: float, z: float, w: float, colour: Colour
) -> Mesh:
    """A three-cornered side (z, y), drawn out along x."""
    points = [(x, y + b, z + a) for a, b in side] + [(x + w, y + b, z + a) for a, b in side]
    faces = [[0, 1, 2], [3, 4, 5], [0, 1, 4, 3], [1, 2, 5, 4], [2, 0, 3, 5]]
    return build(points, faces, colour)


def wall(
    x: float,
    z: float,
    width: int,
    rows: int,
    colour: Colour,
    rng: Random,
    *,
    y: float = 0.0,
    deep: bool = False,
    holes: Sequence[Opening] = (),
    top: bool = True,
    accents: Sequence[Colour] = (),
) -> Mesh:
    """Bricks in running bond, one stud thick, along x (or along z if `deep`).

    A share of the bricks takes one of the `accents`, as old walls do.
    """
    parts = []
    for row in range(rows):
        for start, end in _spans(width, row, holes):
            for left, right in _courses(start, end, row):
                shade = rng.choice(accents) if accents and rng.random() < 0.16 else colour
                place = (x, z + left) if deep else (x + left, z)
                size = (1, right - left) if deep else (right - left, 1)
                parts.append(
                    brick(
                        place[0],
                        y + row * BRICK,
                        place[1],
                        *size,
                        tinted(shade, rng),
                        top=top and row == rows - 1,
                    )
                )
    return merge(parts)


def _spans(width: int, row: int, holes: Sequence[Opening]) -> list[tuple[int, int]]:
    """The stretches of a row that no hole takes."""
    free = [
        n for n in range(width) if not any(a <= n < b and r0 <= row < r1 for a, r0, b, r1 in holes)
    ]
    spans: list[tuple[int, int]] = []
    for n in free:
        if spans and spans[-1][1] == n:
            spans[-1] = (spans[-1][0], n + 1)
        else:
            spans.append((n, n + 1))
    return spans


def _courses(start: int, end: int, row: int) -> list[tuple[int, int]]:
    """A stretch as bricks of four studs, every other row begun with half a brick."""
    cuts = list(range(start + (2 if row % 2 else 4), end, 4))
    return list(zip([start, *cuts], [*cuts, end], strict=True))
