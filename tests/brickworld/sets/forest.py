"""A clearing in a forest: trees, a brook, a tent, a fire, wanderers and a bear."""

from __future__ import annotations

from random import Random

from tests.brickworld.action import floating, stand, talking, trot, walk, waving, working
from tests.brickworld.bricks import brick, floor, plate, studs, tinted
from tests.brickworld.figure import figure, random_look
from tests.brickworld.light import Lamp
from tests.brickworld.mesh import Colour, Mesh, box, build, cylinder, lathe, merge, rod
from tests.brickworld.palette import Palette, plastic
from tests.brickworld.props import METAL, crate, fir, flowers, leafy_tree, pole
from tests.brickworld.stage import Actor, Stage, View

HATS = ("cone", "cap", "hair", "none", "hood")
FIRS = (
    (-13, 9, 7),
    (-18, 5, 6),
    (14, 11, 8),
    (-24, 12, 8),
    (6.5, 15, 7),
    (-6, 16, 8),
    (22, 15, 8),
    (29, 8, 7),
    (-31, 7, 6),
    (0.5, 21, 8),
    (13, 20, 7),
    (-14, 22, 8),
)
LEAFY = ((18.5, 4), (-27, 2), (-9.5, 12), (10, 8))


def forest(palette: Palette, rng: Random) -> Stage:
    """A clearing with a tent and a fire between the trees."""
    green, water = plastic(palette.green), plastic(palette.water)
    ground = [
        floor(-46, -34, 92, 90, green),
        studs(-20, 0, 5, 18, 4, green),
        studs(6, 0, 2, 18, 5, green),
        studs(-26, 0, -6, 16, 4, green),
        floor(-46, -2, 92, 2, water, 0.03),
        *(
            plate(
                rng.randrange(-40, 40),
                0,
                rng.choice((-3, 0)),
                rng.choice((1, 2, 3)),
                1,
                tinted(plastic(palette.stone), rng, 0.15),
            )
            for _ in range(40)
        ),
        *(plate(2 * n - 5, 0, 6, 2, 2, tinted(plastic(palette.sand), rng)) for n in range(5)),
    ]
    trees = [fir(x, z, palette, rng, tall) for x, z, tall in FIRS]
    trees += [leafy_tree(x, z, palette, rng) for x, z in LEAFY]
    cloth, accent = palette.pick(rng), palette.pick(rng)
    camp = [
        tent(5.5, 6, cloth),
        *_camp_fire(0.5, 3.2),
        crate(-8, 0, 4.5, plastic(palette.wood)),
        rod((-5.5, 0.35, 5.2), (-2.5, 0.35, 5.8), 0.38, 0.38, plastic(palette.wood)),
        flowers([(rng.uniform(-16, 16), rng.uniform(-6, -2.4)) for _ in range(16)], accent),
        *_toadstools(rng),
    ]
    return Stage(
        still=merge([*ground, *trees, *camp]),
        actors=_actors(palette, rng, accent),
        views=_views(),
        lamps=(Lamp((0.5, 1.4, 3.2), (1.0, 0.5, 0.18), 5),),
        sky=palette.sky,
    )


def _actors(palette: Palette, rng: Random, accent: Colour) -> tuple[Actor, ...]:
    colours, wood = [plastic(code) for code in palette.bright], plastic(palette.wood)
    looks = [random_look(rng, colours, plastic(palette.skin), HATS) for _ in range(4)]
    return (
        Actor(
            mesh=figure(looks[0], pole(wood, 4)),
            act=walk((-9, 0, 1.2), (3, 0, 1.2), 2.8),
            does="a wanderer with a staff walks along the brook",
        ),
        Actor(
            mesh=figure(looks[1]),
            act=stand((3.0, 0, 2.6), -35, talking),
            does="a camper by the fire tells a story with both hands",
        ),
        Actor(
            mesh=figure(looks[2], axe()),
            act=stand((-3.0, 0, 2.4), 30, working),
            does="a woodcutter swings an axe",
        ),
        Actor(
            mesh=bear(plastic("#5a3826")),
            act=trot((-13, 0, 3.5), 11),
            does="a brown bear trots out from between the trees",
        ),
        Actor(
            mesh=figure(looks[3]),
            act=stand((5.6, 0, 2.2), -10, waving),
            does="a friend waves beside the tent",
        ),
        Actor(mesh=bird(accent), act=floating((0, 7, 2), 10, 0, 14), does="a bird flies over"),
    )


def _views() -> tuple[View, ...]:
    whole = "a clearing in a forest with a tent, a camp fire and a brook"
    return (
        View(eye=(1, 8, -25), target=(0, 4.2, 4), angle=48, actors=(0, 1, 4, 5), shows=whole),
        View(
            eye=(-0.2, 4.4, -8.5),
            target=(0, 2.8, 3),
            angle=48,
            actors=(1, 2),
            shows="a camp fire in a forest",
        ),
        View(eye=(-14, 6.5, -14), target=(-2, 3.2, 3), angle=46, actors=(3, 2, 0), shows=whole),
        View(eye=(15, 6.5, -12), target=(3, 3.2, 3), angle=46, actors=(4, 1, 0, 5), shows=whole),
    )


def tent(x: float, z: float, cloth: Colour) -> Mesh:
    """A ridge tent whose front is open to the viewer."""
    side = [(-2.6, 0.0), (2.6, 0.0), (0.0, 4.2)]
    points = [(a, b, 0.0) for a, b in side] + [(a, b, 5.0) for a, b in side]
    faces = [[0, 1, 2], [3, 4, 5], [0, 1, 4, 3], [1, 2, 5, 4], [2, 0, 3, 5]]
    body = build(points, faces, cloth, gloss=0.1)
    gap = [(-1.0, 0.0, -0.03), (1.0, 0.0, -0.03), (0.0, 3.0, -0.03)]
    inside = build(gap, [[0, 2, 1]], plastic("#2a211c"), 0.0, flat=True)
    return merge([body, inside, rod((0, 0, -0.1), (0, 4.6, -0.1), 0.1, 0.1, METAL, 6)]).moved(
        x, 0, z
    )


def _camp_fire(x: float, z: float) -> list[Mesh]:
    stones = [
        cylinder(x + a, z + b, 0, 0.5, 0.4, plastic("#7d8285"), 6)
        for a, b in ((1.2, 0), (-1.2, 0), (0.6, 1), (-0.6, 1), (0.6, -1), (-0.6, -1))
    ]
    flames = [
        lathe([(0.1, 0.5), (0.9, 0.55), (2.2, 0.02)], plastic("#ff8a1f"), 8).moved(x, 0, z).lit(2),
        lathe([(0.1, 0.3), (0.6, 0.35), (1.5, 0.02)], plastic("#ffd23a"), 8)
        .moved(x - 0.3, 0, z - 0.4)
        .lit(2.5),
    ]
    return [*stones, *flames]


def _toadstools(rng: Random) -> list[Mesh]:
    parts = []
    for _ in range(7):
        x, z = rng.uniform(-18, 18), rng.uniform(-5.5, -2.6)
        parts += [
            cylinder(x, z, 0, 0.6, 0.22, plastic("#f4f0e4"), 8),
            lathe([(0.6, 0.6), (0.8, 0.55), (1.1, 0.15)], plastic("#c9201f"), 10).moved(x, 0, z),
        ]
    return parts


def axe() -> Mesh:
    """Held upright in a hand at the origin."""
    return merge(
        [
            rod((0, -0.8, 0), (0, 2.0, 0), 0.11, 0.11, plastic("#6b3d22"), 6),
            box(-0.1, 1.4, -0.9, 0.2, 0.8, 0.9, METAL),
        ]
    )


def bear(fur: Colour) -> Mesh:
    """A bear of slopes on four legs (joints 1 to 4), its nose to the right."""
    body = [
        brick(-2.4, 1.3, -1, 5, 2, fur),
        box(-2.4, 2.5, -0.9, 4.2, 0.6, 1.8, fur),
        box(2.3, 2.2, -0.8, 1.7, 1.5, 1.6, fur),
        box(4.0, 2.2, -0.45, 0.6, 0.7, 0.9, plastic("#c79a6a")),
        box(4.55, 2.6, -0.2, 0.12, 0.25, 0.4, plastic("#1d1b1b")),
        cylinder(2.8, -0.6, 3.7, 4.1, 0.3, fur, 8),
        cylinder(2.8, 0.6, 3.7, 4.1, 0.3, fur, 8),
        box(3.6, 3.1, -0.86, 0.25, 0.25, 0.1, plastic("#1d1b1b")),
    ]
    legs = [
        box(x, 0, z, 0.9, 1.5, 0.85, tinted(fur, Random(n))).on(n + 1)
        for n, (x, z) in enumerate(((-2.2, -1), (1.5, -1), (-2.2, 0.15), (1.5, 0.15)))
    ]
    return merge([*body, *legs])


def bird(colour: Colour) -> Mesh:
    """A small bird with spread wings."""
    return merge(
        [
            rod((-0.8, 0, 0), (0.8, 0.1, 0), 0.2, 0.35, colour, 8),
            rod((0.8, 0.15, 0), (1.3, 0.2, 0), 0.3, 0.05, plastic("#e8a020"), 6),
            box(-0.4, 0.15, -1.7, 0.9, 0.12, 3.4, colour),
        ]
    )
