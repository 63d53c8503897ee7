"""Things that stand on more than one set."""

from __future__ import annotations

from random import Random

from tests.brickworld.bricks import brick, floor, plate, studs, tinted
from tests.brickworld.mesh import Colour, Mesh, box, cylinder, lathe, merge, rod
from tests.brickworld.palette import Palette, plastic

TYRE = plastic("#222426")
METAL = plastic("#b9bdc0")


def leafy_tree(x: float, z: float, palette: Palette, rng: Random, size: int = 5) -> Mesh:
    """A trunk of round bricks under a heap of leaf plates."""
    wood = plastic(palette.wood)
    parts = [cylinder(x, z, 1.2 * n, 1.2 * n + 1.18, 0.48, tinted(wood, rng)) for n in range(3)]
    leaf = [plastic(code) for code in palette.leaf]
    widths = (size - 1, size, size, size - 1, size - 2, max(1, size - 3))
    for n, wide in enumerate(widths):
        at = wide / 2 + rng.uniform(-0.3, 0.3)
        colour = tinted(rng.choice(leaf), rng)
        parts.append(brick(x - at, 3.0 + 0.8 * n, z - at, wide, wide, colour, h=0.78))
    return merge(parts)


def fir(x: float, z: float, palette: Palette, rng: Random, tall: int = 6) -> Mesh:
    """A fir of shrinking round plates."""
    colour = plastic(palette.leaf[rng.randrange(len(palette.leaf))])
    parts = [cylinder(x, z, 0, 1.4, 0.45, plastic(palette.wood))]
    for n in range(tall):
        wide = 2.6 * (1 - n / (tall + 0.6))
        low = 1.2 + n * 1.05
        parts.append(
            lathe(
                [(low, wide), (low + 0.35, wide * 0.92), (low + 1.2, wide * 0.45)],
                tinted(colour, rng),
                10,
            ).moved(x, 0, z)
        )
    return merge([*parts, cylinder(x, z, 1.2 + tall * 1.05, 1.7 + tall * 1.05, 0.3, colour)])


def lamp_post(x: float, z: float) -> Mesh:
    """A post with a shining head."""
    dark = plastic("#2b2e31")
    return merge(
        [
            cylinder(x, z, 0.4, 0.9, 0.5, dark),
            rod((x, 0.9, z), (x, 5.6, z), 0.17, 0.17, dark),
            cylinder(x, z, 5.5, 5.7, 0.5, dark),
            cylinder(x, z, 5.7, 6.5, 0.4, plastic("#ffe9b0")).lit(2.5),
            lathe([(6.5, 0.5), (6.8, 0.15)], dark).moved(x, 0, z),
        ]
    )


def wheel(x: float, y: float, z: float, radius: float = 0.95, wide: float = 0.9) -> Mesh:
    """A tyre with a hub; its axle runs along z."""
    return merge(
        [
            rod((x, y, z), (x, y, z + wide), radius, radius, TYRE, 12),
            rod((x, y, z - 0.04), (x, y, z + wide + 0.04), radius * 0.5, radius * 0.5, METAL, 10),
        ]
    )


def car(colour: Colour, rng: Random) -> Mesh:
    """A car that drives to the right, 9 studs long, its middle at the origin."""
    dark, glass = plastic("#3a3d40"), plastic("#a8d2e6")
    body = [
        box(-4.5, 0.55, -2, 9, 0.4, 4, dark),
        brick(-4.5, 0.95, -2, 3, 4, colour),
        brick(1.5, 0.95, -2, 3, 4, tinted(colour, rng)),
        box(-1.5, 0.95, -2, 3, 1.2, 4, colour),
        box(-1.7, 2.15, -1.8, 0.3, 1.5, 3.6, colour),
        box(1.2, 2.15, -1.7, 0.25, 1.5, 3.4, glass),
        box(-1.4, 2.2, -1.75, 2.6, 1.3, 0.12, glass),
        plate(-2, 3.6, -2, 4, 4, colour),
        box(4.4, 1.3, -1.7, 0.2, 0.5, 0.7, plastic("#fff2c0")).lit(2.0),
        box(4.4, 1.3, 1.0, 0.2, 0.5, 0.7, plastic("#fff2c0")).lit(2.0),
        box(-4.6, 1.3, -1.7, 0.2, 0.5, 0.7, plastic("#c01818")).lit(0.8),
    ]
    wheels = [wheel(x, 0.95, z) for x in (-2.9, 2.9) for z in (-2.25, 1.35)]
    return merge([*body, *wheels])


def crate(x: float, y: float, z: float, colour: Colour) -> Mesh:
    """A box of two bricks."""
    return merge([brick(x, y, z, 2, 2, colour, top=False), brick(x, y + 1.2, z, 2, 2, colour)])


def barrel(x: float, y: float, z: float, colour: Colour) -> Mesh:
    """A round barrel with two hoops."""
    side = lathe([(0, 0.7), (0.3, 0.85), (1.2, 0.85), (1.5, 0.7)], colour)
    hoops = [lathe([(h, 0.89), (h + 0.14, 0.89)], TYRE) for h in (0.35, 1.05)]
    return merge([part.moved(x, y, z) for part in (side, *hoops)])


def sword() -> Mesh:
    """Held upright in a hand at the origin."""
    return merge(
        [
            rod((0, -0.4, 0), (0, 0.35, 0), 0.14, 0.14, plastic("#5a3a20"), 6),
            box(-0.4, 0.3, -0.1, 0.8, 0.16, 0.2, METAL),
            rod((0, 0.4, 0), (0, 2.5, 0), 0.17, 0.05, METAL, 4),
        ]
    )


def pole(colour: Colour, long: float = 3.5) -> Mesh:
    """A staff, an oar, a spear."""
    return rod((0, -long * 0.35, 0), (0, long * 0.65, 0), 0.11, 0.11, colour, 6)


def flowers(spots: list[tuple[float, float]], colour: Colour) -> Mesh:
    """Small plants on a plate."""
    green = plastic("#3f9a42")
    parts = []
    for x, z in spots:
        parts += [
            rod((x, 0, z), (x, 0.8, z), 0.09, 0.09, green, 5),
            cylinder(x, z, 0.8, 1.05, 0.32, colour, 6),
        ]
    return merge(parts)


def baseplate(x: float, z: float, w: int, d: int, colour: Colour, sides: int = 8) -> Mesh:
    """A thin plate full of studs, whose surface is the ground."""
    return merge([floor(x, z, w, d, colour), studs(x, 0, z, w, d, colour, sides)])
