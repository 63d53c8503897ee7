"""Find the visible face and its depth at each pixel: a z-buffer over convex parts.

The reciprocal of the depth is linear on the screen, so one plane equation a face gives the depth
of all its pixels; OpenCV fills the faces' numbers, numpy compares the depths part by part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from tests.brickworld.kinds import Array
from tests.brickworld.mesh import Mesh

SUBPIXEL = 3
"""Bits of sub-pixel precision of the faces' corners."""
BEHIND = -1e9


class Projection(Protocol):
    """Something that looks: screen coordinates, and a key that is greater for what is nearer."""

    def project(self, points: Array) -> tuple[Array, Array]:
        """[N, 3] -> screen [N, 2] in pixels, key [N]."""

    def planes(self, normals: Array, points: Array) -> tuple[Array, Array]:
        """Key over the screen as a*x + b*y + c, [F, 3]; and whether a face looks at us, [F]."""


@dataclass(frozen=True)
class Perspective:
    """A camera at `eye`; rows of `axes` are right, up, forward; `focal` and `centre` in pixels."""

    eye: Array
    axes: Array
    focal: float
    centre: tuple[float, float]
    near: float = 0.5

    def project(self, points: Array) -> tuple[Array, Array]:
        seen = (points - self.eye) @ self.axes.T
        key = np.where(seen[:, 2] > self.near, 1 / np.maximum(seen[:, 2], self.near), np.nan)
        x = self.centre[0] + self.focal * seen[:, 0] * key
        y = self.centre[1] - self.focal * seen[:, 1] * key
        return np.stack([x, y], axis=1), key

    def planes(self, normals: Array, points: Array) -> tuple[Array, Array]:
        n = normals @ self.axes.T
        distance = (normals * (points - self.eye)).sum(axis=1)
        safe = np.where(np.abs(distance) < 1e-6, -1e-6, distance)
        a, b = n[:, 0] / (self.focal * safe), -n[:, 1] / (self.focal * safe)
        c = n[:, 2] / safe - a * self.centre[0] - b * self.centre[1]
        return np.stack([a, b, c], axis=1), distance < 0

    def rays(self, width: int, height: int) -> Array:
        """[H, W, 3] directions of the pixels, of depth one."""
        x = (np.arange(width, dtype=np.float32) - self.centre[0]) / self.focal
        y = (self.centre[1] - np.arange(height, dtype=np.float32)) / self.focal
        axes = self.axes.astype(np.float32)
        rays: Array = axes[2] + x[None, :, None] * axes[0] + y[:, None, None] * axes[1]
        return rays


@dataclass(frozen=True)
class Parallel:
    """A light that looks along axes[2] from far away; `scale` pixels a stud."""

    axes: Array
    scale: float
    centre: tuple[float, float]
    far: float = 200.0

    def project(self, points: Array) -> tuple[Array, Array]:
        seen = points @ self.axes.T.astype(np.float32)
        x = self.centre[0] + self.scale * seen[..., 0]
        y = self.centre[1] - self.scale * seen[..., 1]
        return np.stack([x, y], axis=-1), self.far - seen[..., 2]

    def planes(self, normals: Array, points: Array) -> tuple[Array, Array]:
        n, p = normals @ self.axes.T, points @ self.axes.T
        safe = np.where(np.abs(n[:, 2]) < 1e-6, -1e-6, n[:, 2])
        a = n[:, 0] / (self.scale * safe)
        b = -n[:, 1] / (self.scale * safe)
        c = self.far - (n * p).sum(axis=1) / safe - a * self.centre[0] - b * self.centre[1]
        return np.stack([a, b, c], axis=1), n[:, 2] < 0


@dataclass(frozen=True)
class Seen:
    """A picture of face numbers and keys, whose upper left pixel stands at (left, top)."""

    face: Array
    """[H, W] int32; -1 is nothing."""
    key: Array
    """[H, W] float32."""
    left: int = 0
    top: int = 0


class Outlines(NamedTuple):
    """The faces to draw, those of a part together."""

    face: Array
    """[D] their numbers."""
    part: Array
    """[D]."""
    corners: Array
    """[D, CORNERS, 2] fixed-point pixels from the part's own least corner."""
    low: Array
    high: Array
    """[P, 2] pixels that hold a part, clipped to the screen; `high` is exclusive."""


def rasterise(
    mesh: Mesh,
    lens: Projection,
    size: tuple[int, int],
    behind: Seen | None = None,
    *,
    prints: bool = True,
) -> Seen:
    """Draw `mesh` on a screen of `size` (width, height), where it is nearer than `behind`.

    A light does not care for prints.
    """
    width, height = size
    planes, facing = lens.planes(mesh.normal, mesh.points[mesh.faces[:, 0]])
    wanted = facing if prints else facing & ~mesh.flat
    outlines = _outlines(mesh, wanted, lens.project(mesh.points)[0], size)
    key = np.full((height, width), BEHIND, np.float32) if behind is None else behind.key.copy()
    face = np.zeros((height, width), np.int32)
    _fill(face, key, outlines, planes)
    face -= 1
    return Seen(face, key)


def _outlines(mesh: Mesh, wanted: Array, screen: Array, size: tuple[int, int]) -> Outlines:
    """The wanted faces [F] bool of the parts that reach into the screen.

    A part that reaches behind the eye has NaN corners, which are nowhere.
    """
    low = np.minimum.reduceat(screen, mesh.first, axis=0)
    high = np.maximum.reduceat(screen, mesh.first, axis=0)
    inside = np.logical_and((high >= 0).all(axis=1), (low < size).all(axis=1))
    low = np.maximum(np.nan_to_num(np.floor(low)), 0).astype(int)
    high = np.minimum(np.nan_to_num(np.ceil(high)) + 1, size).astype(int)
    face = np.flatnonzero(wanted & inside[mesh.part])
    part = mesh.part[face]
    corners = np.round((screen[mesh.faces[face]] - low[part][:, None]) * (1 << SUBPIXEL))
    return Outlines(face, part, corners.astype(np.int32), low, high)


def _fill(face: Array, key: Array, outlines: Outlines, planes: Array) -> None:
    """The loop over parts: fill numbers into scratch, compare depths, keep the nearer.

    Faces count from 1 here: 0 is none, and infinitely far.
    """
    a, b, c = (np.concatenate([[0], planes[:, i]]).astype(np.float32) for i in range(3))
    c[0] = BEHIND
    scratch = np.zeros(face.size, np.int32)
    columns = np.arange(face.shape[1], dtype=np.float32)
    rows = np.arange(face.shape[0], dtype=np.float32)[:, None]
    low, high, names = outlines.low.tolist(), outlines.high.tolist(), outlines.face.tolist()
    ends = np.flatnonzero(np.diff(outlines.part, append=-1)) + 1
    start = 0
    for end in ends.tolist():
        part = outlines.part[start]
        (x0, y0), (x1, y1) = low[part], high[part]
        ids = scratch[: (y1 - y0) * (x1 - x0)].reshape(y1 - y0, x1 - x0)
        ids.fill(0)
        for n in range(start, end):
            cv2.fillConvexPoly(ids, outlines.corners[n], names[n] + 1, cv2.LINE_8, SUBPIXEL)
        near = a.take(ids) * columns[x0:x1] + b.take(ids) * rows[y0:y1] + c.take(ids)
        target = key[y0:y1, x0:x1]
        wins = near > target
        np.copyto(target, near, where=wins)
        np.copyto(face[y0:y1, x0:x1], ids, where=wins)
        start = end
