"""Jointed figures: a round head with a stud, a torso that narrows, gripping hands, two legs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from random import Random

import numpy as np

from tests.brickworld.kinds import Array
from tests.brickworld.mesh import (
    Colour,
    Mesh,
    box,
    build,
    decal,
    frustum,
    lathe,
    merge,
    prism,
    ring,
    rod,
    shift,
    turn_x,
    turn_y,
    turn_z,
)
from tests.brickworld.palette import plastic

BODY, LEFT_LEG, RIGHT_LEG, LEFT_ARM, RIGHT_ARM, HEAD = range(6)
HIP, SHOULDER, NECK = 1.5, 3.2, 3.45
INK = plastic("#1d1b1b")
HATS = ("none", "hair", "cap", "helmet", "tophat", "cone", "crown", "hood")
FACES = ("smile", "grin", "frown", "moustache")
PRINTS = ("buttons", "stripes", "zip", "belt", "badge")


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a figure wears."""

    torso: Colour
    legs: Colour
    skin: Colour
    hat: str = "none"
    hat_colour: Colour = INK
    face: str = "smile"
    print: str = "buttons"
    trim: Colour = INK


@dataclass(frozen=True, kw_only=True)
class Pose:
    """Angles in degrees; positive swings a limb forward, turns and leans to the right."""

    left_leg: float = 0.0
    right_leg: float = 0.0
    left_arm: float = 12.0
    right_arm: float = 12.0
    head: float = 0.0
    lean: float = 0.0
    bow: float = 0.0


def figure(look: Look, held: Mesh | None = None) -> Mesh:
    """A figure that stands at the origin and looks at the viewer; `held` sits in its right hand."""
    parts = [*_legs(look), *_body(look), *_head(look)]
    for side, joint in ((-1, LEFT_ARM), (1, RIGHT_ARM)):
        parts.append(_arm(side, look).on(joint))
    if held is not None:
        parts.append(held.moved(1.05, SHOULDER - 1.35, -0.95).on(RIGHT_ARM))
    return merge(parts)


def limbs(pose: Pose, place: Array) -> Array:
    """[6, 4, 4]: each joint's motion under the figure's own place [4, 4]."""
    body = place @ turn_z(-pose.lean) @ turn_x(-pose.bow)
    return np.stack(
        [
            body,
            body @ _about(HIP, -pose.left_leg),
            body @ _about(HIP, -pose.right_leg),
            body @ _about(SHOULDER, -pose.left_arm),
            body @ _about(SHOULDER, -pose.right_arm),
            body @ turn_y(pose.head),
        ]
    )


def _about(height: float, degrees: float) -> Array:
    matrix: Array = shift(0, height, 0) @ turn_x(-degrees) @ shift(0, -height, 0)
    return matrix


def _legs(look: Look) -> list[Mesh]:
    parts = []
    for side, joint in ((-1, LEFT_LEG), (1, RIGHT_LEG)):
        x = -0.98 if side < 0 else 0.04
        parts.append(box(x, 0.0, -0.5, 0.94, HIP + 0.1, 1.0, look.legs).on(joint))
        parts.append(box(x, 0.0, -0.75, 0.94, 0.42, 0.25, look.legs).on(joint))
    return parts


def _body(look: Look) -> list[Mesh]:
    hips = box(-1.0, HIP + 0.02, -0.46, 2.0, 0.36, 0.92, look.legs)
    low = [(-1.0, -0.5), (1.0, -0.5), (1.0, 0.5), (-1.0, 0.5)]
    high = [(-0.74, -0.5), (0.74, -0.5), (0.74, 0.5), (-0.74, 0.5)]
    torso = frustum(low, high, HIP + 0.38, NECK, look.torso)
    return [hips, torso, *_print(look)]


def _flat(x0: float, y0: float, x1: float, y1: float, colour: Colour) -> Mesh:
    """A print on the front of the torso."""
    z = -0.505
    return decal([(x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z)], (0, 0, -1), colour)


def _print(look: Look) -> list[Mesh]:
    if look.print == "buttons":
        marks = [_flat(-0.03, 1.95, 0.03, 3.3, look.trim)]
        return marks + [_flat(0.1, y, 0.22, y + 0.12, look.trim) for y in (2.2, 2.6, 3.0)]
    if look.print == "stripes":
        return [_flat(-0.76, y, 0.76, y + 0.2, look.trim) for y in (2.05, 2.5, 2.95)]
    if look.print == "zip":
        return [
            _flat(-0.05, 1.92, 0.05, 3.4, look.trim),
            _flat(-0.6, 2.7, -0.2, 3.0, look.trim),
        ]
    if look.print == "belt":
        return [_flat(-0.95, 1.92, 0.95, 2.12, INK), _flat(-0.14, 1.9, 0.14, 2.15, look.trim)]
    corners = [(-0.32, 3.05), (0.32, 3.05), (0.32, 2.6), (0.0, 2.2), (-0.32, 2.6)]
    return [decal([(x, y, -0.505) for x, y in corners], (0, 0, -1), look.trim)]


def _arm(side: int, look: Look) -> Mesh:
    shoulder = np.array([side * 0.86, SHOULDER, 0.0])
    elbow = shoulder + np.array([side * 0.22, -0.72, 0.05])
    wrist = elbow + np.array([side * 0.02, -0.48, -0.5])
    return merge(
        [
            rod(shoulder + np.array([side * -0.1, 0.16, 0]), elbow, 0.3, 0.29, look.torso),
            rod(elbow + np.array([0, 0.14, 0.1]), wrist, 0.3, 0.27, look.torso),
            rod(wrist, wrist + np.array([0, -0.14, -0.15]), 0.16, 0.16, look.skin, 6),
            _hand(wrist + np.array([0, -0.3, -0.32]), look.skin),
        ]
    )


def _hand(centre: Array, skin: Colour) -> Mesh:
    """A C of four pieces, open to the front."""
    along = np.array([0.0, -0.69, -0.72])
    side, up = np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.72, -0.69])
    angles = np.radians(np.linspace(50, 310, 5))
    parts = []
    for a, b in pairwise(angles):
        rim = [
            radius * (np.cos(angle) * along + np.sin(angle) * side)
            for radius, angle in ((0.2, a), (0.33, a), (0.33, b), (0.2, b))
        ]
        points = [centre + p - 0.2 * up for p in rim] + [centre + p + 0.2 * up for p in rim]
        walls = [[i, (i + 1) % 4, 4 + (i + 1) % 4, 4 + i] for i in range(4)]
        parts.append(build(np.array(points), [*walls, range(4), range(4, 8)], skin))
    return merge(parts)


def _head(look: Look) -> list[Mesh]:
    profile = [(3.42, 0.38), (3.5, 0.5), (3.6, 0.62), (4.3, 0.62), (4.42, 0.5)]
    parts = [lathe(profile, look.skin, 18), *_face(look.face), *_hat(look)]
    if look.hat in ("none", "crown"):
        parts.append(lathe([(4.42, 0.31), (4.62, 0.31)], look.skin, 12))
    return [part.on(HEAD) for part in parts]


def _wrap(points: list[tuple[float, float]], colour: Colour, radius: float = 0.635) -> Mesh:
    """A print on the round head: (distance to the right, height) in studs."""
    corners = [(radius * np.sin(u / radius), v, -radius * np.cos(u / radius)) for u, v in points]
    middle = np.mean(corners, axis=0)
    return decal(corners, (float(middle[0]), 0.0, float(middle[2])), colour)


def _dot(u: float, v: float, size: float, colour: Colour, radius: float = 0.635) -> Mesh:
    angles = np.arange(8) * (np.pi / 4)
    points = [(u + size * float(np.cos(a)), v + size * float(np.sin(a))) for a in angles]
    return _wrap(points, colour, radius)


def _face(kind: str) -> list[Mesh]:
    white = plastic("#ffffff")
    parts = []
    for u in (-0.2, 0.2):
        parts += [_dot(u, 4.06, 0.085, INK), _dot(u + 0.03, 4.09, 0.03, white, 0.645)]
        parts.append(
            _wrap([(u - 0.1, 4.2), (u + 0.1, 4.23), (u + 0.1, 4.27), (u - 0.1, 4.24)], INK)
        )
    bend = {"smile": 0.12, "grin": 0.15, "frown": -0.1, "moustache": 0.06}[kind]
    turns = np.linspace(-1, 1, 7)
    line = [(0.25 * float(t), 3.78 + bend * (float(t) ** 2 - 0.5)) for t in turns]
    thick = 0.045
    for (u0, v0), (u1, v1) in pairwise(line):
        parts.append(_wrap([(u0, v0), (u1, v1), (u1, v1 + thick), (u0, v0 + thick)], INK))
    if kind == "grin":
        parts.append(_wrap([(-0.2, 3.85), (0.2, 3.85), (0.12, 3.75), (-0.12, 3.75)], white))
    if kind == "moustache":
        brown = plastic("#4a2c1a")
        for side in (-1, 1):
            half = [(0.0, 3.86), (0.0, 3.96), (side * 0.2, 3.9), (side * 0.3, 3.82)]
            parts.append(_wrap(half, brown, 0.65))
    return parts


def _shell(low: float, high: float, radius: float, colour: Colour, front: float) -> Mesh:
    """The back of a hood or of hair: a round column cut off at z = front."""
    outline = [(x, max(z, front)) for x, z in ring(radius, 12)]
    kept = [p for n, p in enumerate(outline) if n == 0 or p != outline[n - 1]]
    edge = float(np.sqrt(max(radius**2 - front**2, 0.01)))
    rounded = [(x, z) for x, z in kept if z > front] + [(-edge, front), (edge, front)]
    return prism(sorted(rounded, key=lambda p: np.arctan2(p[1] - 0.2, p[0])), low, high, colour)


def _hat(look: Look) -> list[Mesh]:
    c = look.hat_colour
    if look.hat == "hair":
        dome = lathe([(4.28, 0.7), (4.55, 0.7), (4.75, 0.48)], c)
        return [dome, _shell(3.75, 4.3, 0.7, c, 0.02)]
    if look.hat == "cap":
        brim = box(-0.5, 4.28, -1.12, 1.0, 0.09, 0.7, c)
        return [lathe([(4.28, 0.67), (4.5, 0.66), (4.7, 0.45)], c), brim]
    if look.hat == "helmet":
        dome = lathe([(4.3, 0.74), (4.6, 0.7), (4.85, 0.4)], c)
        return [dome, _shell(3.5, 4.3, 0.74, c, -0.12), box(-0.76, 4.22, -0.78, 1.52, 0.2, 0.6, c)]
    if look.hat == "tophat":
        return [lathe([(4.3, 0.95), (4.38, 0.95)], c), lathe([(4.38, 0.6), (5.3, 0.64)], c)]
    if look.hat == "cone":
        return [lathe([(4.28, 1.0), (4.36, 0.98)], c), lathe([(4.36, 0.66), (5.9, 0.05)], c)]
    if look.hat == "crown":
        tips = [rod((x, 4.5, z), (x, 4.95, z), 0.14, 0.02, c, 4) for x, z in ring(0.56, 8)]
        return [lathe([(4.25, 0.66), (4.55, 0.66)], c), *tips]
    if look.hat == "hood":
        return [
            lathe([(4.3, 0.72), (4.6, 0.62), (4.95, 0.2)], c),
            _shell(3.45, 4.3, 0.75, c, -0.05),
        ]
    return []


def random_look(rng: Random, torsos: list[Colour], skin: Colour, hats: tuple[str, ...]) -> Look:
    """A figure dressed from a set's colours."""
    torso, legs = rng.choice(torsos), rng.choice([*torsos, INK, plastic("#3b4a63")])
    return Look(
        torso=torso,
        legs=legs,
        skin=skin,
        hat=rng.choice(hats),
        hat_colour=rng.choice([*torsos, INK, plastic("#5a321a"), plastic("#8c8f92")]),
        face=rng.choice(FACES),
        print=rng.choice(PRINTS),
        trim=rng.choice([plastic("#f2f2ee"), INK, plastic("#e0b020")]),
    )
