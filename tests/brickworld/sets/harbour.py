"""A harbour: a quay, boats, a crane, a lighthouse, sailors."""

from __future__ import annotations

from random import Random

from tests.brickworld.action import floating, stand, talking, turning, walk, waving, working
from tests.brickworld.bricks import BRICK, brick, floor, plate, studs, tinted, wall
from tests.brickworld.figure import figure, random_look
from tests.brickworld.light import Lamp
from tests.brickworld.mesh import Colour, Mesh, box, build, cylinder, decal, lathe, merge, rod
from tests.brickworld.palette import Palette, plastic
from tests.brickworld.props import METAL, TYRE, barrel, crate, pole
from tests.brickworld.stage import Actor, Stage, View

HATS = ("cap", "none", "hair", "cap", "tophat")


def harbour(palette: Palette, rng: Random) -> Stage:
    """A quay along x; water before it, sheds behind."""
    wood = plastic(palette.wood)
    first, second = palette.pick(rng), palette.pick(rng)
    sheds = [
        shed(-16, 10, 12, first, rng),
        shed(1, 11, 10, second, rng),
        lighthouse(18, 14, palette.pick(rng, but=(plastic(palette.bright[3]),))),
    ]
    goods = [
        *(
            crate(x, y, z, palette.pick(rng))
            for x, y, z in (
                (-9, 0.1, 5.4),
                (-6.8, 0.1, 6),
                (-8, 2.6, 5.6),
                (9.5, 0.1, 6),
                (11.8, 0.1, 6.2),
            )
        ),
        barrel(6.2, 0.1, 6.4, wood),
        barrel(4.6, 0.1, 7.0, wood),
        studs(-36, 0, 9, 72, 1, plastic(palette.sand), 8),
    ]
    return Stage(
        still=merge([*_ground(palette, rng), *sheds, *goods]),
        actors=_actors(palette, rng),
        views=_views(),
        lamps=(Lamp((18, 17, 14), (1, 0.9, 0.6), 12), Lamp((-10, 4, 8.5)), Lamp((6, 4, 9.5))),
        sky=palette.sky,
    )


def _ground(palette: Palette, rng: Random) -> list[Mesh]:
    """Waves, a stone edge, planks and posts."""
    water, wood, stone = (plastic(c) for c in (palette.water, palette.wood, palette.stone))
    return [
        floor(-48, -34, 96, 36, water, -1.2),
        *(
            plate(
                rng.randrange(-30, 30),
                -1.55,
                rng.randrange(-14, 0),
                rng.choice((2, 3, 4)),
                1,
                tinted(water, rng, 0.25),
            )
            for _ in range(46)
        ),
        floor(-48, 3, 96, 60, plastic(palette.sand)),
        *(brick(x, -BRICK, 2, 4, 1, tinted(stone, rng), h=BRICK) for x in range(-36, 36, 4)),
        *(box(x + 0.02, 0, 3, 1.96, 0.1, 6, tinted(wood, rng, 0.15)) for x in range(-36, 36, 2)),
        *(cylinder(x, 1.6, -2, 1.0, 0.5, wood) for x in range(-30, 34, 6)),
    ]


def _actors(palette: Palette, rng: Random) -> tuple[Actor, ...]:
    colours = [plastic(code) for code in palette.bright]
    looks = [random_look(rng, colours, plastic(palette.skin), HATS) for _ in range(4)]
    return (
        Actor(
            mesh=boat(palette.pick(rng), palette),
            act=floating((1, -1.0, -2.2), 8),
            does="a small boat with a striped sail rocks on the water",
        ),
        Actor(
            mesh=figure(looks[0]),
            act=walk((-4.5, 0.1, 5.3), (3.4, 0.1, 5.3), 3),
            does="a dock worker walks along the quay",
        ),
        Actor(
            mesh=figure(looks[1], pole(plastic(palette.wood), 4)),
            act=stand((-2.5, 0.1, 3.8), 15, working),
            does="a worker pushes and pulls with a long pole",
        ),
        Actor(
            mesh=figure(looks[2]),
            act=stand((2.6, 0.1, 3.8), -20, waving),
            does="a sailor waves at the boat",
        ),
        Actor(
            mesh=crane(palette.pick(rng)),
            act=turning((-11.5, 0.1, 6.5), 34),
            does="a tall crane swings its arm with a crate on the hook",
        ),
        Actor(
            mesh=figure(looks[3]),
            act=stand((0.2, 0.1, 3.6), -35, talking),
            does="someone argues with both hands",
        ),
    )


def _views() -> tuple[View, ...]:
    place = "a harbour quay with sheds, crates and a lighthouse behind blue water"
    return (
        View(eye=(-2, 9.5, -29), target=(0.5, 4.6, 4), angle=50, actors=(0, 1, 3, 4), shows=place),
        View(
            eye=(-0.6, 4.4, -7),
            target=(-0.6, 3.0, 4),
            angle=50,
            actors=(2, 5),
            shows="the wooden quay of a harbour",
        ),
        View(eye=(13, 7.5, -15), target=(0, 3.0, 3), angle=46, actors=(0, 3, 1), shows=place),
        View(eye=(-20, 9, -14), target=(-4, 4.5, 5), angle=48, actors=(4, 0, 2, 1), shows=place),
    )


def shed(x: float, z: float, width: int, colour: Colour, rng: Random) -> Mesh:
    """A store house with a wide door and a flat roof full of studs."""
    white = plastic("#f1f1ec")
    door = (width / 2 - 2, 0, width / 2 + 2, 4)
    roof = plastic("#6c7072")
    return merge(
        [
            wall(x, z, width, 6, colour, rng, holes=[door], accents=(white,), top=False),
            wall(x, z + 1, 6, 6, colour, rng, deep=True, top=False),
            wall(x + width - 1, z + 1, 6, 6, colour, rng, deep=True, top=False),
            box(x + 1, 0, z + 0.5, width - 2, 6 * BRICK - 0.1, 0.3, plastic("#3a2a20")),
            *(
                box(x + door[0], n * 0.6, z + 0.3, 4, 0.55, 0.2, plastic("#8d9294"))
                for n in range(5)
            ),
            *(plate(x + 2 * n, 6 * BRICK, z, 2, 2, roof) for n in range(width // 2)),
            box(x, 6 * BRICK, z + 2, width, 0.4, 5, roof),
            box(x + width / 2 - 2.2, 4 * BRICK, z - 0.3, 4.4, 1.0, 0.4, white),
        ]
    )


def lighthouse(x: float, z: float, colour: Colour) -> Mesh:
    """White and coloured rings, a gallery and a shining lamp."""
    white = plastic("#f6f6f2")
    parts = []
    for n in range(12):
        wide = 2.6 - 0.09 * n
        low = n * BRICK
        parts.append(
            lathe(
                [(low, wide), (low + BRICK - 0.03, wide - 0.06)],
                white if n // 2 % 2 else colour,
                18,
            )
        )
    top = 12 * BRICK
    parts += [
        cylinder(0, 0, top, top + 0.4, 2.2, TYRE, 18),
        cylinder(0, 0, top + 0.4, top + 2.4, 1.0, plastic("#ffe9a0"), 12).lit(2.5),
        lathe([(top + 2.4, 1.5), (top + 3.6, 0.2)], colour, 14),
    ]
    return merge(parts).moved(x, 0, z)


def boat(colour: Colour, palette: Palette) -> Mesh:
    """A sailing boat nine studs long, its bow to the right."""
    wood, white = plastic(palette.wood), plastic("#f6f6f0")
    outline = [(-4, -1.7), (2, -1.7), (4.6, 0), (2, 1.7), (-4, 1.7)]
    low = [(x * 0.86, z * 0.7) for x, z in outline]
    points = [(x, 0, z) for x, z in low] + [(x, 1.7, z) for x, z in outline]
    sides = [[i, (i + 1) % 5, 5 + (i + 1) % 5, 5 + i] for i in range(5)]
    hull = build(points, [*sides, range(5), range(5, 10)], colour)
    sail = []
    for n in range(6):
        low_y, high_y = 2.6 + n * 1.2, 3.8 + n * 1.2
        left, right = 0.2, (6 - n) * 0.62 + 0.2
        shape = [
            (left, low_y, -0.05),
            (right, low_y, -0.05),
            (right - 0.62, high_y, -0.05),
            (left, high_y, -0.05),
        ]
        sail.append(decal(shape, (0, 0, -1), colour if n % 2 else white))
    return merge(
        [
            hull,
            box(-3.8, 1.7, -1.5, 3, 0.9, 3, white),
            studs(-3.8, 2.6, -1.5, 3, 3, white),
            studs(0.6, 1.7, -1, 2, 2, colour),
            rod((0, 1.6, 0), (0, 10.4, 0), 0.16, 0.12, wood),
            *sail,
        ]
    )


def crane(colour: Colour) -> Mesh:
    """A tower with an arm to the right that turns about its foot."""
    lattice = []
    for n in range(8):
        low, high = n * 1.2, n * 1.2 + 1.2
        lattice += [
            rod((-0.7, low, -0.7), (0.7, high, -0.7), 0.12, 0.12, colour, 5),
            rod((0.7, low, -0.7), (-0.7, high, -0.7), 0.12, 0.12, colour, 5),
        ]
    posts = [
        rod((a, 0, b), (a, 9.8, b), 0.16, 0.16, colour, 6) for a in (-0.7, 0.7) for b in (-0.7, 0.7)
    ]
    return merge(
        [
            box(-1.6, 0, -1.6, 3.2, 0.8, 3.2, TYRE),
            *posts,
            *lattice,
            brick(-2, 9.8, -1, 3, 2, colour),
            box(-4.5, 10.2, -0.6, 2.5, 1.4, 1.2, plastic("#6c7072")),
            *(brick(1 + 2 * n, 10.2, -0.5, 2, 1, colour, h=0.7) for n in range(4)),
            rod((8, 10.2, 0), (8, 5.4, 0), 0.06, 0.06, METAL, 5),
            brick(7, 3.9, -1, 2, 2, plastic("#6b3d22")),
        ]
    )
