"""A base on another world: craters, domes, a rocket, a rover, explorers in helmets."""

from __future__ import annotations

from math import cos, pi, sin
from random import Random

from tests.brickworld.action import floating, sliding, stand, talking, turning, walk, waving
from tests.brickworld.bricks import BRICK, brick, floor, plate, studs, tinted, wall
from tests.brickworld.figure import Look, figure
from tests.brickworld.light import Lamp
from tests.brickworld.mesh import Colour, Mesh, box, cylinder, lathe, merge, rod
from tests.brickworld.palette import Palette, plastic
from tests.brickworld.props import METAL, TYRE, crate, pole, wheel
from tests.brickworld.stage import Actor, Stage, View

SIGNAL = plastic("#7dff5a")


def space(palette: Palette, rng: Random) -> Stage:
    """A landing field before a base, under a black sky."""
    ground = tinted(plastic(palette.stone), rng, 0.1)
    dark = plastic(palette.stone_dark)
    main, second = palette.pick(rng), palette.pick(rng)
    field = [
        floor(-44, -32, 88, 90, ground),
        studs(-30, 0, 3, 26, 5, ground),
        studs(8, 0, 4, 24, 5, ground),
        studs(-12, 0, 12, 24, 3, ground, 8),
        *(crater(x, z, r, dark) for x, z, r in ((-9, -3, 2.4), (10, -4, 1.8), (18, 3, 2.6))),
        *(rocks(x, z, dark, rng) for x, z in ((-22, 9), (24, 11), (-15, 19), (12, 22), (-30, 16))),
    ]
    base = [
        wall(
            -14,
            9,
            12,
            4,
            plastic("#eef0ee"),
            rng,
            holes=[(2.0, 1, 5.0, 3), (7.0, 0, 10.0, 4)],
            accents=(main,),
        ),
        box(-13.5, 0, 10.2, 11, 4 * BRICK - 0.2, 6, plastic("#6f7679")),
        box(-11.9, BRICK, 9.5, 2.8, 2.3, 0.2, plastic("#ffd070")).lit(1.2),
        dome(-18, 12, 4.6, second),
        rocket(7, 10, main),
        *_pad(7, 10, dark),
        crate(-4, 0, 3.6, second),
        crate(-1.6, 0, 4.6, main),
        rod((14.5, 0, 9), (14.5, 7, 9), 0.2, 0.14, METAL),
        cylinder(14.5, 9, 7, 7.6, 0.3, plastic("#ff3a2a")).lit(3),
    ]
    return Stage(
        still=merge([*field, *base]),
        actors=_actors(main, second, plastic(palette.skin)),
        views=_views(),
        lamps=(Lamp((-10, 4, 7.5), (0.9, 0.85, 0.7), 5), Lamp((7, 1.5, 7), (1, 0.55, 0.3), 4)),
        sky=("#3a3550", "#0b0b18"),
        stars=True,
    )


def _looks(main: Colour, skin: Colour) -> tuple[Look, ...]:
    """Two explorers and a visitor."""
    white = plastic("#f4f4f0")
    one = Look(
        torso=white,
        legs=white,
        skin=skin,
        hat="hood",
        hat_colour=white,
        face="smile",
        print="badge",
        trim=main,
    )
    two = Look(
        torso=main,
        legs=main,
        skin=skin,
        hat="hood",
        hat_colour=main,
        face="grin",
        print="zip",
        trim=white,
    )
    green = Look(
        torso=plastic("#4a8f3a"),
        legs=plastic("#2c5a2a"),
        skin=plastic("#8fd05a"),
        hat="none",
        face="frown",
        print="stripes",
        trim=SIGNAL,
    )
    return one, two, green


def _actors(main: Colour, second: Colour, skin: Colour) -> tuple[Actor, ...]:
    one, two, green = _looks(main, skin)
    return (
        Actor(
            mesh=figure(one, pole(METAL, 3)),
            act=walk((-8, 0, 1.5), (1.4, 0, 1.5), 2.6),
            does="an explorer in a white suit walks across the grey ground with a staff",
        ),
        Actor(
            mesh=figure(two),
            act=stand((3.4, 0, 1.6), -30, waving),
            does="a second one in a bright suit waves",
        ),
        Actor(
            mesh=rover(second),
            act=sliding((0, 0, -3.2), 7, 52),
            does="a six-wheeled rover rolls past",
        ),
        Actor(
            mesh=saucer(main),
            act=floating((-2, 9.5, 8), 9, 0, 8),
            does="a round craft hovers over the roofs",
        ),
        Actor(
            mesh=figure(green),
            act=stand((-1.2, 0, 1.4), 38, talking),
            does="a green visitor explains something with both hands",
        ),
        Actor(
            mesh=figure(one),
            act=stand((1.5, 0, 1.4), -38, lambda t: talking(t + 1.3)),
            does="an explorer in a white suit answers",
        ),
        Actor(mesh=_dish(), act=turning((-8, 4.9, 11), 40), does="a dish turns on the roof"),
    )


def _views() -> tuple[View, ...]:
    whole = "a base on a grey moon with a dome and a rocket under a starry sky"
    return (
        View(eye=(2, 9, -27), target=(-1, 5.0, 4), angle=50, actors=(0, 1, 2, 6), shows=whole),
        View(
            eye=(0.3, 4.4, -9),
            target=(0.2, 3.0, 2),
            angle=48,
            actors=(4, 5),
            shows="the ground before a moon base",
        ),
        View(eye=(15, 8, -17), target=(2, 4.5, 3), angle=46, actors=(1, 0, 3), shows=whole),
        View(eye=(-17, 6, -13), target=(-3, 4.0, 4), angle=46, actors=(2, 3, 0, 6), shows=whole),
    )


def crater(x: float, z: float, radius: float, colour: Colour) -> Mesh:
    """A ring of small slopes round a dark floor."""
    parts = [cylinder(x, z, 0, 0.06, radius * 0.8, colour, 16)]
    for n in range(10):
        a = n * pi / 5
        parts.append(
            lathe([(0, 0.7), (0.5, 0.3)], colour, 6).moved(
                x + radius * cos(a), 0, z + radius * sin(a)
            )
        )
    return merge(parts)


def rocks(x: float, z: float, colour: Colour, rng: Random) -> Mesh:
    """A heap of boulders laid in steps."""
    return merge(
        [
            brick(x + dx, y * BRICK, z + dz, w, w, tinted(colour, rng))
            for dx, y, dz, w in (
                (0, 0, 0, 5),
                (0, 1, 1, 4),
                (1, 2, 1, 3),
                (1, 3, 2, 2),
                (5, 0, 1, 3),
            )
        ]
    )


def dome(x: float, z: float, radius: float, colour: Colour) -> Mesh:
    """Half a ball of rings on a low wall, with a lit window band."""
    rings = [(1.2 + radius * sin(a), radius * cos(a)) for a in (0, 0.35, 0.7, 1.05, 1.4)]
    return merge(
        [
            cylinder(0, 0, 0, 1.2, radius + 0.3, plastic("#dfe2e0"), 18),
            cylinder(0, 0, 0.5, 0.9, radius + 0.34, plastic("#ffd070"), 18).lit(1.2),
            lathe(rings, colour, 18),
            studs(-1, 1.2 + radius, -1, 2, 2, colour),
        ]
    ).moved(x, 0, z)


def rocket(x: float, z: float, colour: Colour) -> Mesh:
    """A rocket of white rings with coloured bands and three fins."""
    white = plastic("#f4f4f0")
    parts = [lathe([(1.4, 0.9), (0.6, 1.2)][::-1], TYRE, 12)]
    for n in range(8):
        low = 1.4 + n * BRICK
        band = colour if n in (0, 4, 7) else white
        parts.append(lathe([(low, 1.6), (low + BRICK - 0.03, 1.6)], band, 16))
    top = 1.4 + 8 * BRICK
    parts += [
        lathe([(top, 1.6), (top + 1.6, 1.2), (top + 3.4, 0.1)], colour, 16),
        rod((0, 7.8, -1.5), (0, 7.8, -1.72), 0.6, 0.6, plastic("#9cc7dd"), 12),
    ]
    for angle in (90, 210, 330):
        a = angle * pi / 180
        out = (2.9 * cos(a), 0.2, 2.9 * sin(a))
        parts += [
            rod((1.4 * cos(a), 3.6, 1.4 * sin(a)), out, 0.35, 0.3, colour, 6),
            rod(out, (out[0], 0.0, out[2]), 0.5, 0.6, TYRE, 8),
        ]
    return merge(parts).moved(x, 0.4, z)


def _pad(x: float, z: float, colour: Colour) -> list[Mesh]:
    return [
        plate(x - 4 + 2 * a, 0, z - 4 + 2 * b, 2, 2, colour) for a in range(4) for b in range(4)
    ]


def rover(colour: Colour) -> Mesh:
    """A six-wheeled car, eight studs long, that drives to the right."""
    frame = plastic("#3a3d40")
    return merge(
        [
            box(-4, 1.0, -1.6, 8, 0.4, 3.2, frame),
            brick(-4, 1.4, -2, 3, 4, colour),
            brick(1, 1.4, -2, 2, 4, colour),
            box(3, 1.4, -2, 1, 0.8, 4, colour),
            box(-0.9, 1.4, -1.8, 1.6, 1.6, 3.6, plastic("#8fd8f0")),
            rod((-3, 2.6, 0), (-3.4, 5.2, 0), 0.1, 0.08, METAL),
            lathe([(5.2, 0.2), (5.6, 0.9)], METAL, 10).moved(-3.4, 0, 0),
            box(4.0, 1.5, -1.6, 0.15, 0.5, 0.6, plastic("#fff2c0")).lit(2.5),
            *(wheel(a, 0.95, b) for a in (-3, 0, 3) for b in (-2.4, 1.5)),
        ]
    )


def saucer(colour: Colour) -> Mesh:
    """A round craft with a glass dome and lamps."""
    lamps = [
        cylinder(2.6 * cos(n * pi / 4), 2.6 * sin(n * pi / 4), -0.1, 0.12, 0.25, SIGNAL, 6).lit(3)
        for n in range(8)
    ]
    return merge(
        [
            lathe([(-0.5, 1.2), (0.1, 3.2), (0.5, 3.2), (1.0, 1.4)], colour, 18),
            lathe([(1.0, 1.3), (1.6, 1.1), (2.0, 0.4)], plastic("#a8e6f0"), 12),
            *lamps,
        ]
    )


def _dish() -> Mesh:
    bowl = rod((0, 1.4, -0.2), (0, 1.9, -1.1), 0.4, 1.6, METAL, 14)
    return merge(
        [
            cylinder(0, 0, 0, 1.2, 0.35, TYRE),
            bowl,
            rod((0, 1.6, -0.6), (0, 2.2, -2.0), 0.08, 0.08, plastic("#ff3a2a"), 6),
        ]
    )
