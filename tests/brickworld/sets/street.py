"""A street with a house, a shop, cars and people."""

from __future__ import annotations

from random import Random

from tests.brickworld.action import sliding, stand, talking, walk, waving
from tests.brickworld.bricks import BRICK, brick, floor, gable, plate, studs, wall
from tests.brickworld.figure import figure, random_look
from tests.brickworld.light import Lamp
from tests.brickworld.mesh import Colour, Mesh, box, merge, rod
from tests.brickworld.palette import Palette, plastic
from tests.brickworld.props import car, lamp_post, leafy_tree
from tests.brickworld.stage import Actor, Stage, View

HATS = ("none", "hair", "cap", "tophat", "hair", "none")


def street(palette: Palette, rng: Random) -> Stage:
    """A road along x in front of two houses on a green plate."""
    green, road = plastic(palette.green), plastic(palette.road)
    white = plastic("#f1f1ec")
    ground = [
        floor(-40, -30, 80, 70, green),
        studs(-32, 0, 3, 64, 4, green),
        studs(-32, 0, -1, 64, 1, green),
        floor(-40, -10, 80, 9, road, 0.03),
        *(box(x, 0.0, -5.8, 2, 0.06, 0.5, white) for x in range(-38, 38, 5)),
        *(plate(x, 0, 0, 4, 3, plastic(palette.stone)) for x in range(-36, 36, 4)),
    ]
    left, right = palette.pick(rng), palette.pick(rng)
    houses = [
        house(-13, 7, 12, 6, left, palette, rng),
        house(3, 7, 14, 5, right, palette, rng, shop=True),
    ]
    trees = [
        leafy_tree(x, z, palette, rng) for x, z in ((-16.5, 5), (0.5, 6), (19.5, 5), (-22, 11))
    ]
    lamps = [lamp_post(x, 2.2) for x in (-6, 9)]
    return Stage(
        still=merge([*ground, *houses, *trees, *lamps]),
        actors=_actors(palette, rng),
        views=_views(),
        lamps=(Lamp((-6, 6, 1.6)), Lamp((9, 6, 1.6))),
        sky=palette.sky,
    )


def _actors(palette: Palette, rng: Random) -> tuple[Actor, ...]:
    colours = [plastic(code) for code in palette.bright]
    skin = plastic(palette.skin)
    looks = [random_look(rng, colours, skin, HATS) for _ in range(4)]
    return (
        Actor(
            mesh=figure(looks[0]),
            act=walk((-9, 0.4, 1.9), (5, 0.4, 1.9)),
            does="a small figure walks along the pavement",
        ),
        Actor(
            mesh=figure(looks[1]),
            act=stand((6.5, 0.4, 1.4), -25, waving),
            does="another waves from the kerb",
        ),
        Actor(
            mesh=car(palette.pick(rng), rng),
            act=sliding((0, 0, -4.5), 9, 56),
            does="a little car drives past",
        ),
        Actor(
            mesh=figure(looks[2]),
            act=stand((-3.2, 0.4, 1.5), 35, talking),
            does="someone talks with both hands",
        ),
        Actor(
            mesh=figure(looks[3]),
            act=stand((-0.8, 0.4, 1.8), -40, talking),
            does="a neighbour listens and answers",
        ),
    )


def _views() -> tuple[View, ...]:
    place = "a street of small houses with trees and lamp posts"
    return (
        View(eye=(-3, 9, -29), target=(0, 4, 4), angle=46, actors=(0, 1, 2), shows=place),
        View(
            eye=(-3.5, 4.6, -9),
            target=(-1.8, 3.0, 2),
            angle=46,
            actors=(3, 4),
            shows="the pavement in front of a house",
        ),
        View(eye=(16, 10, -20), target=(1, 3, 2), angle=44, actors=(0, 2, 1), shows=place),
        View(
            eye=(9, 4.6, -6),
            target=(5.6, 3.2, 2.5),
            angle=50,
            actors=(1, 0),
            shows="the kerb in front of a shop with a striped awning",
        ),
    )


def house(
    x: float,
    z: float,
    width: int,
    rows: int,
    colour: Colour,
    palette: Palette,
    rng: Random,
    *,
    shop: bool = False,
) -> Mesh:
    """Front and sides of a house with windows, a door and a roof."""
    door = (2, 0, 5, 4)
    window_rows = (1, 4) if shop else (2, 4)
    windows = [
        (float(n), window_rows[0], float(n + 3), window_rows[1]) for n in range(6, width - 3, 4)
    ]
    trim = palette.pick(rng, but=(colour,))
    depth = 8
    parts = [
        wall(x, z, width, rows, colour, rng, holes=[door, *windows], top=False),
        wall(x, z + 1, depth - 1, rows, colour, rng, deep=True, top=False),
        wall(x + width - 1, z + 1, depth - 1, rows, colour, rng, deep=True, top=False),
        box(x + 1, 0, z + 1, width - 2, 0.1, depth - 2, plastic(palette.wood)),
        box(x + 1, 0, z + depth - 0.5, width - 2, rows * BRICK, 0.5, colour),
        box(x + 2.1, 0, z + 0.45, 2.8, 4 * BRICK - 0.1, 0.3, plastic(palette.wood)),
        box(x + 4.2, 2.2, z + 0.25, 0.3, 0.3, 0.3, plastic("#e0c040")),
    ]
    for left, low, end, high in windows:
        parts += _window(x + left, low * BRICK, z, end - left, (high - low) * BRICK)
    if shop:
        for n in range(5, width):
            stripe = trim if n % 2 else plastic("#f4f4ef")
            parts.append(brick(x + n, 4 * BRICK + 0.1, z - 1.6, 1, 2, stripe, h=0.4, top=False))
    for n in range(width // 2):
        parts.append(plate(x + 2 * n, rows * BRICK, z - 0.0, 2, 1, trim))
    roof = plastic(rng.choice(("#8c2f23", "#4d5357", "#5d4632")))
    parts += _roof(x, rows * BRICK + 0.4, z, width, depth, roof)
    return merge(parts)


def _window(x: float, y: float, z: float, w: float, h: float) -> list[Mesh]:
    frame, pane = plastic("#f4f4ef"), plastic("#9cc7dd")
    glass = box(x, y, z + 0.5, w, h, 0.1, pane).lit(0.0)
    warm = box(x, y, z + 0.62, w, h, 0.1, plastic("#ffcf70")).lit(1.2)
    bars = [
        box(x, y, z + 0.3, w, 0.2, 0.3, frame),
        box(x, y + h - 0.2, z + 0.3, w, 0.2, 0.3, frame),
        box(x, y, z + 0.3, 0.2, h, 0.3, frame),
        box(x + w - 0.2, y, z + 0.3, 0.2, h, 0.3, frame),
        box(x + w / 2 - 0.1, y, z + 0.3, 0.2, h, 0.3, frame),
    ]
    return [warm if int(x) % 2 else glass, *bars]


def _roof(x: float, y: float, z: float, width: int, depth: int, colour: Colour) -> list[Mesh]:
    """Rows of slopes, each a little higher and further back."""
    parts = [gable(x - 0.3, y + 0.1, z + 0.4, width + 0.6, depth - 0.2, 3.2, colour)]
    for row in range(4):
        for n in range(width // 2):
            parts.append(
                box(x + 2 * n + 0.02, y + row * 0.8, z - 0.2 + row, 1.96, 0.82, 1.1, colour)
            )
    return [
        *parts,
        rod(
            (x + width - 3, y + 2, z + 4),
            (x + width - 3, y + 4.6, z + 4),
            0.7,
            0.7,
            plastic("#7a3b2e"),
        ),
    ]
