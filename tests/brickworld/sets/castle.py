"""A castle's court: towers, battlements, a gate, knights."""

from __future__ import annotations

from random import Random

from tests.brickworld.action import cheering, fighting, floating, stand, talking, walk
from tests.brickworld.bricks import BRICK, brick, floor, slope, studs, tinted, wall
from tests.brickworld.figure import Look, figure
from tests.brickworld.light import Lamp
from tests.brickworld.mesh import Colour, Mesh, box, cylinder, decal, lathe, merge, rod
from tests.brickworld.palette import Palette, plastic
from tests.brickworld.props import METAL, barrel, crate, fir, pole, sword
from tests.brickworld.stage import Actor, Stage, View


def castle(palette: Palette, rng: Random) -> Stage:
    """A wall between two towers, with a gate, and a court of sand and grass before it."""
    stone, dark = plastic(palette.stone), plastic(palette.stone_dark)
    flag = palette.pick(rng)
    other = palette.pick(rng, but=(flag,))
    court = [
        floor(-44, -32, 88, 76, plastic(palette.green)),
        floor(-4, -32, 8, 40, plastic(palette.sand), 0.02),
        studs(-28, 0, 2, 24, 6, plastic(palette.green)),
        studs(4, 0, 2, 24, 6, plastic(palette.green)),
    ]
    gate = [(9.0, 0, 15.0, 5)]
    walls = [
        wall(-12, 8, 24, 8, stone, rng, holes=gate, accents=(dark,), top=False),
        *_battlements(-12, 8, 24, 8 * BRICK, stone, rng),
        *_bars(-3, 8.6, 6, 5 * BRICK),
        *(tower(x, 9.0, 11, stone, dark, flag, rng) for x in (-14.5, 14.5)),
        wall(-30, 10, 14, 6, stone, rng, accents=(dark,)),
        wall(17, 10, 14, 6, stone, rng, accents=(dark,)),
        slope(-3.5, 5 * BRICK, 7.2, 7, 1, 1, dark),
    ]
    props = [
        barrel(-7.5, 0, 5.5, plastic(palette.wood)),
        barrel(-9.2, 0, 6.2, plastic(palette.wood)),
        crate(7, 0, 5, plastic(palette.wood)),
        fir(-20, 4, palette, rng),
        fir(21, 5, palette, rng, 7),
        fir(25, 1, palette, rng, 5),
        *_fire(9.5, 0.5),
    ]
    return Stage(
        still=merge([*court, *walls, *props]),
        actors=_actors(flag, other, plastic(palette.skin), rng),
        views=_views(),
        lamps=(Lamp((9.5, 1.2, 0.5), (1.0, 0.5, 0.18), 4.5), Lamp((0, 6, 6.5))),
        sky=palette.sky,
    )


def _looks(flag: Colour, other: Colour, skin: Colour, rng: Random) -> tuple[Look, ...]:
    """Knight, rival, king and guard."""
    grey = plastic("#7d8285")
    first = Look(
        torso=flag,
        legs=grey,
        skin=skin,
        hat="helmet",
        hat_colour=METAL,
        print="badge",
        face="frown",
        trim=plastic("#f2f2ee"),
    )
    second = Look(
        torso=other,
        legs=plastic("#3a2d26"),
        skin=skin,
        hat="none",
        print="belt",
        face=rng.choice(("grin", "moustache")),
        trim=plastic("#e0b020"),
    )
    king = Look(
        torso=plastic("#5f2a86"),
        legs=plastic("#5f2a86"),
        skin=skin,
        hat="crown",
        hat_colour=plastic("#e8b923"),
        face="moustache",
        print="zip",
        trim=plastic("#e8b923"),
    )
    guard = Look(
        torso=flag,
        legs=plastic("#33373a"),
        skin=skin,
        hat="helmet",
        hat_colour=grey,
        face="smile",
        print="stripes",
        trim=plastic("#f2f2ee"),
    )
    return first, second, king, guard


def _actors(flag: Colour, other: Colour, skin: Colour, rng: Random) -> tuple[Actor, ...]:
    first, second, king, guard = _looks(flag, other, skin, rng)
    return (
        Actor(
            mesh=figure(first, sword()),
            act=stand((-2.0, 0, 1.0), 62, fighting),
            does="a knight in a grey helmet swings a sword",
        ),
        Actor(
            mesh=figure(second, sword()),
            act=stand((2.2, 0, 1.0), -62, lambda t: fighting(t + 0.7)),
            does="a bare-headed rival strikes back",
        ),
        Actor(
            mesh=figure(king),
            act=stand((6.5, 0, 2.2), -18, cheering),
            does="a king with a golden crown throws up his arms",
        ),
        Actor(
            mesh=figure(guard, pole(plastic("#6b3d22"), 5)),
            act=walk((-10, 0, 3.6), (-3.5, 0, 3.6), 2.4),
            does="a guard with a spear walks up and down before the wall",
        ),
        Actor(
            mesh=_dragon(plastic("#2f8438"), other),
            act=floating((0, 9.6, 4.5), 8, 20, 9),
            does="a winged dragon circles above the gate",
        ),
        Actor(
            mesh=figure(second),
            act=stand((4.1, 0, 1.6), 40, talking),
            does="a squire pleads with both hands",
        ),
    )


def _views() -> tuple[View, ...]:
    whole = "the court of a stone castle with two towers and a barred gate"
    return (
        View(eye=(-4, 9, -29), target=(0, 5.4, 5), angle=52, actors=(0, 1, 2, 3), shows=whole),
        View(
            eye=(0.5, 4.8, -9.5),
            target=(0.1, 3.0, 2),
            angle=48,
            actors=(0, 1),
            shows="the ground before the castle gate",
        ),
        View(
            eye=(13, 5.5, -11),
            target=(5, 3.2, 2),
            angle=44,
            actors=(2, 5),
            shows="the court beside a camp fire",
        ),
        View(eye=(-16, 12, -22), target=(0, 5.8, 4), angle=50, actors=(4, 0, 1, 3), shows=whole),
    )


def tower(
    x: float, z: float, rows: int, stone: Colour, dark: Colour, flag: Colour, rng: Random
) -> Mesh:
    """A square tower, six studs wide, with a flag."""
    left, front = x - 3, z - 3
    slit = [(2.5, 4, 3.5, 6)]
    parts = [
        wall(left, front, 6, rows, stone, rng, holes=slit, accents=(dark,), top=False),
        wall(left, front + 1, 5, rows, stone, rng, deep=True, accents=(dark,), top=False),
        wall(left + 5, front + 1, 5, rows, stone, rng, deep=True, accents=(dark,), top=False),
        box(left + 1, 0, front + 0.6, 4, rows * BRICK, 4, plastic("#26282a")),
        *_battlements(left - 0.5, front - 0.5, 7, rows * BRICK, dark, rng),
        box(left - 0.5, rows * BRICK - 0.4, front - 0.5, 7, 0.4, 6.5, dark),
    ]
    top = rows * BRICK
    parts += [
        rod((x, top, z), (x, top + 5.5, z), 0.12, 0.12, plastic("#6b3d22")),
        decal([(x, top + 5.4, z), (x + 2.6, top + 4.7, z), (x, top + 3.9, z)], (0, 0, -1), flag),
    ]
    return merge(parts)


def _battlements(
    x: float, z: float, width: int, y: float, colour: Colour, rng: Random
) -> list[Mesh]:
    return [brick(x + n, y, z, 1, 1, tinted(colour, rng)) for n in range(0, width, 2)]


def _bars(x: float, z: float, width: float, height: float) -> list[Mesh]:
    """A portcullis, drawn up halfway."""
    iron, low = plastic("#34383b"), height * 0.4
    upright = [
        rod((x + 0.5 + n, low, z), (x + 0.5 + n, height, z), 0.13, 0.13, iron, 6)
        for n in range(int(width))
    ]
    cross = [box(x, low + n, z - 0.1, width, 0.2, 0.2, iron) for n in range(int(height - low))]
    return [*upright, *cross, box(x, 0, z + 2.4, width, height, 0.2, plastic("#1b1d1f"))]


def _fire(x: float, z: float) -> list[Mesh]:
    """A camp fire: logs and three flames."""
    wood = plastic("#5a3a24")
    logs = [
        rod((x + a, 0.2, z + b), (x - a, 0.2, z - b), 0.22, 0.22, wood)
        for a, b in ((1, 0.2), (0.5, 0.9), (-0.5, 0.9))
    ]
    flames = [
        lathe([(0.2, 0.45), (0.9, 0.5), (2.1, 0.02)], plastic("#ff8a1f"), 8).moved(x, 0, z).lit(2),
        lathe([(0.2, 0.3), (0.6, 0.33), (1.4, 0.02)], plastic("#ffd23a"), 8)
        .moved(x + 0.4, 0, z - 0.3)
        .lit(2.5),
    ]
    return [
        *logs,
        *flames,
        *(
            cylinder(x + a, z + b, 0, 0.5, 0.35, plastic("#6c7072"), 6)
            for a, b in ((1.3, 0), (-1.3, 0), (0, -1.2), (0.9, -0.9), (-0.9, -0.9))
        ),
    ]


def _dragon(skin: Colour, wing: Colour) -> Mesh:
    """A dragon of slopes and plates, seven studs long, its nose to the left."""
    body = [
        brick(-2, 0, -0.5, 4, 1, skin),
        brick(-3, 0.9, -0.5, 2, 1, skin),
        box(-4.4, 1.4, -0.45, 1.6, 0.7, 0.9, skin),
        rod((2, 0.6, 0), (4.6, 1.2, 0), 0.5, 0.08, skin),
        box(-3.6, 2.1, -0.5, 0.25, 0.25, 0.2, plastic("#f8e030")),
    ]
    for side in (-1, 1):
        tip = [(-1.2, 1.3, side * 0.5), (1.4, 1.3, side * 0.5), (1.8, 3.4, side * 3.6)]
        body += [decal(tip, (0, 1, 0), wing), decal(tip, (0, -1, 0), wing)]
    return merge(body)
