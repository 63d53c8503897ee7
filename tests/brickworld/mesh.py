"""Solids as arrays: convex parts made of flat faces, in studs (one stud pitch is 8 mm of plastic).

x runs right, y up, z away from the viewer. A figure is about five studs tall, a brick 1.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from tests.brickworld.kinds import Array

CORNERS = 18
"""Corners a face at most; a face with fewer repeats its last."""

Colour = tuple[float, float, float]
Point = Sequence[float] | Array


@dataclass(frozen=True, kw_only=True)
class Mesh:
    """F faces over V points. `part` numbers the convex part a face belongs to, rising."""

    points: Array
    """[V, 3] float."""
    joint: Array
    """[V] which moving limb a point hangs on; 0 where nothing moves."""
    faces: Array
    """[F, CORNERS] indices into `points`."""
    part: Array
    """[F]."""
    first: Array
    """[P] the first point of each part; a part's points are neighbours."""
    normal: Array
    """[F, 3] unit vectors out of the part."""
    colour: Array
    """[F, 3] linear light, 0..1."""
    gloss: Array
    """[F] 0 is matt, 1 is new plastic."""
    glow: Array
    """[F] light of its own, in units of the colour."""
    flat: Array
    """[F] True for prints: thin decals that cast no edge."""

    @property
    def parts(self) -> int:
        return len(self.first)

    def coarse(self, least: float) -> Mesh:
        """Without the parts that are smaller than `least` in every direction."""
        low = np.minimum.reduceat(self.points, self.first, axis=0)
        high = np.maximum.reduceat(self.points, self.first, axis=0)
        kept = (high - low).max(axis=1)[self.part] >= least
        names = ("faces", "part", "normal", "colour", "gloss", "glow", "flat")
        return replace(self, **{name: getattr(self, name)[kept] for name in names})

    def moved(self, x: float = 0, y: float = 0, z: float = 0) -> Mesh:
        """The same, elsewhere."""
        return replace(self, points=self.points + np.array([x, y, z], np.float32))

    def turned(self, degrees: float) -> Mesh:
        """The same, turned about the upright axis; positive turns its front to the right."""
        turn = turn_y(degrees)[:3, :3].T
        return replace(self, points=self.points @ turn, normal=self.normal @ turn)

    def on(self, joint: int) -> Mesh:
        """The same, all of it hung on one joint."""
        return replace(self, joint=np.full(len(self.points), joint, np.int32))

    def lit(self, glow: float) -> Mesh:
        """The same, shining."""
        return replace(self, glow=np.full(len(self.faces), glow, np.float32))

    def posed(self, limbs: Array) -> Mesh:
        """Every point moved by its limb's matrix; limbs [J, 4, 4]."""
        matrix = limbs[self.joint]
        points = np.einsum("vij,vj->vi", matrix[:, :3, :3], self.points) + matrix[:, :3, 3]
        turn = limbs[self.joint[self.faces[:, 0]], :3, :3]
        normal = np.einsum("fij,fj->fi", turn, self.normal)
        return replace(self, points=points.astype(np.float32), normal=normal.astype(np.float32))


def build(
    points: Array | Sequence[Sequence[float]],
    faces: Sequence[Sequence[int]],
    colour: Colour,
    gloss: float = 0.6,
    *,
    flat: bool = False,
) -> Mesh:
    """One convex part (or one flat print)."""
    count = len(faces)
    padded = [[*face, *[face[-1]] * (CORNERS - len(face))] for face in faces]
    corners = np.asarray(points, np.float32)
    indices = np.array(padded, np.int32)
    return Mesh(
        points=corners,
        joint=np.zeros(len(points), np.int32),
        faces=indices,
        part=np.zeros(count, np.int32),
        first=np.zeros(1, np.int32),
        normal=_outward(corners, indices, flat=flat),
        colour=np.tile(np.array(colour, np.float32), (count, 1)),
        gloss=np.full(count, gloss, np.float32),
        glow=np.zeros(count, np.float32),
        flat=np.full(count, flat),
    )


def _outward(points: Array, faces: Array, *, flat: bool) -> Array:
    """Unit normals that point away from the part's middle; a print's follow its winding."""
    a, b, c = (points[faces[:, n]] for n in range(3))
    normal = _cross(b - a, c - a)
    normal /= np.maximum(np.sqrt((normal * normal).sum(axis=1, keepdims=True)), 1e-9)
    if not flat:
        inward = (normal * (a - points.mean(axis=0))).sum(axis=1) < 0
        normal[inward] *= -1
    return normal.astype(np.float32)


def _cross(a: Array, b: Array) -> Array:
    """np.cross for [N, 3], without its search for axes: a set has thousands of parts."""
    (ax, ay, az), (bx, by, bz) = a.T, b.T
    return np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=1)


def repeat(mesh: Mesh, offsets: Array) -> Mesh:
    """`mesh` at each of `offsets` [N, 3]."""
    count = len(offsets)
    step = np.arange(count, dtype=np.int32)
    points = mesh.points[None] + np.asarray(offsets, np.float32)[:, None]
    faces = mesh.faces[None] + (step * len(mesh.points))[:, None, None]
    return Mesh(
        points=points.reshape(-1, 3),
        joint=np.tile(mesh.joint, count),
        faces=faces.reshape(-1, CORNERS),
        part=(mesh.part[None] + (step * mesh.parts)[:, None]).ravel(),
        first=(mesh.first[None] + (step * len(mesh.points))[:, None]).ravel(),
        normal=np.tile(mesh.normal, (count, 1)),
        colour=np.tile(mesh.colour, (count, 1)),
        gloss=np.tile(mesh.gloss, count),
        glow=np.tile(mesh.glow, count),
        flat=np.tile(mesh.flat, count),
    )


def merge(meshes: Sequence[Mesh]) -> Mesh:
    """All of them as one."""
    corner = np.cumsum([0, *(len(mesh.points) for mesh in meshes)])
    first = np.cumsum([0, *(mesh.parts for mesh in meshes)])
    return Mesh(
        points=np.concatenate([m.points for m in meshes]),
        joint=np.concatenate([m.joint for m in meshes]),
        faces=np.concatenate([m.faces + c for m, c in zip(meshes, corner, strict=False)]),
        part=np.concatenate([m.part + f for m, f in zip(meshes, first, strict=False)]),
        first=np.concatenate([m.first + c for m, c in zip(meshes, corner, strict=False)]),
        normal=np.concatenate([m.normal for m in meshes]),
        colour=np.concatenate([m.colour for m in meshes]),
        gloss=np.concatenate([m.gloss for m in meshes]),
        glow=np.concatenate([m.glow for m in meshes]),
        flat=np.concatenate([m.flat for m in meshes]),
    )


def prism(outline: Sequence[tuple[float, float]], low: float, high: float, colour: Colour) -> Mesh:
    """A convex outline in x and z, between two heights."""
    return frustum(outline, outline, low, high, colour)


def frustum(
    bottom: Sequence[tuple[float, float]],
    top: Sequence[tuple[float, float]],
    low: float,
    high: float,
    colour: Colour,
) -> Mesh:
    """Two outlines of as many corners, joined by flat sides."""
    n = len(bottom)
    points = [(x, low, z) for x, z in bottom] + [(x, high, z) for x, z in top]
    sides = [[i, (i + 1) % n, n + (i + 1) % n, n + i] for i in range(n)]
    return build(np.array(points), [*sides, range(n), range(n, 2 * n)], colour)


def box(x: float, y: float, z: float, w: float, h: float, d: float, colour: Colour) -> Mesh:
    """A block with its least corner at (x, y, z)."""
    return prism([(x, z), (x + w, z), (x + w, z + d), (x, z + d)], y, y + h, colour)


def ring(radius: float, sides: int, x: float = 0, z: float = 0) -> list[tuple[float, float]]:
    """A round outline."""
    angles = (np.arange(sides) + 0.5) * (2 * np.pi / sides)
    return [(x + radius * float(np.cos(a)), z + radius * float(np.sin(a))) for a in angles]


def cylinder(
    x: float, z: float, low: float, high: float, radius: float, colour: Colour, sides: int = CORNERS
) -> Mesh:
    """An upright round part."""
    return prism(ring(radius, sides, x, z), low, high, colour)


def lathe(profile: Sequence[tuple[float, float]], colour: Colour, sides: int = CORNERS) -> Mesh:
    """A turned solid about the y axis: (height, radius) from the bottom up.

    It is one part where its outline bulges everywhere, else one part a step.
    """
    if not _bulges(profile):
        return merge([lathe(step, colour, sides) for step in pairwise(profile)])
    rings = [[(x, y, z) for x, z in ring(max(r, 0.01), sides)] for y, r in profile]
    walls = [
        [n * sides + i, n * sides + j, (n + 1) * sides + j, (n + 1) * sides + i]
        for n in range(len(profile) - 1)
        for i, j in ((i, (i + 1) % sides) for i in range(sides))
    ]
    top = (len(profile) - 1) * sides
    points = np.array([corner for one in rings for corner in one])
    return build(points, [*walls, range(sides), range(top, top + sides)], colour)


def _bulges(profile: Sequence[tuple[float, float]]) -> bool:
    """Return True if the outline turns inwards at every step, so that the solid is convex."""
    steps = [(y1 - y0, r1 - r0) for (y0, r0), (y1, r1) in pairwise(profile)]
    return all(a[0] * b[1] <= a[1] * b[0] + 1e-9 for a, b in pairwise(steps))


def shift(x: float, y: float, z: float) -> Array:
    """[4, 4] that moves."""
    matrix = np.eye(4, dtype=np.float32)
    matrix[:3, 3] = x, y, z
    return matrix


def _turn(degrees: float, a: int, b: int) -> Array:
    matrix = np.eye(4, dtype=np.float32)
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix[a, a], matrix[a, b], matrix[b, a], matrix[b, b] = c, -s, s, c
    return matrix


def turn_x(degrees: float) -> Array:
    """[4, 4] about the axis to the right: a positive limb angle swings forward (to -z)."""
    return _turn(degrees, 1, 2)


def turn_y(degrees: float) -> Array:
    """[4, 4] about the upright axis; what looks at the viewer turns to the right."""
    return _turn(degrees, 0, 2)


def turn_z(degrees: float) -> Array:
    """[4, 4] in the picture plane."""
    return _turn(degrees, 0, 1)


def rod(start: Point, end: Point, r0: float, r1: float, colour: Colour, sides: int = 8) -> Mesh:
    """A round bar from `start` to `end`, of two radii."""
    a, b = np.asarray(start, float), np.asarray(end, float)
    along = (b - a) / np.linalg.norm(b - a)
    side = np.cross(along, [0.0, 0.0, 1.0] if abs(along[2]) < 0.9 else [1.0, 0.0, 0.0])
    side /= np.linalg.norm(side)
    other = np.cross(along, side)
    angle = (np.arange(sides) + 0.5) * (2 * np.pi / sides)
    circle = np.cos(angle)[:, None] * side + np.sin(angle)[:, None] * other
    points = np.concatenate([a + r0 * circle, b + r1 * circle])
    walls = [[i, (i + 1) % sides, sides + (i + 1) % sides, sides + i] for i in range(sides)]
    return build(points, [*walls, range(sides), range(sides, 2 * sides)], colour)


def decal(corners: Sequence[Sequence[float]], outward: Sequence[float], colour: Colour) -> Mesh:
    """A print: a flat polygon seen from the side that `outward` points to."""
    points = np.array(corners, np.float32)
    normal = _cross(points[1:2] - points[0], points[2:3] - points[0])[0]
    if normal @ np.array(outward) < 0:
        points = points[::-1]
    return build(points, [range(len(points))], colour, gloss=0.3, flat=True)
