"""Which face is seen at each pixel, and how far it is: a z-buffer over convex parts.

The reciprocal of the depth is linear on the screen, so one plane equation a face gives the depth
of all its pixels; OpenCV fills the faces' numbers, numpy compares the depths part by part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from brickfilm.render.kinds import Array
from brickfilm.render.mesh import Mesh

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


def normals_of(mesh: Mesh) -> Array:
    """[F, 3] unit normals that point out of their convex part."""
    corners = mesh.points[mesh.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    centre = corners.mean(axis=1)
    count = np.bincount(mesh.part, minlength=mesh.parts)[:, None]
    middle = np.stack(
        [np.bincount(mesh.part, centre[:, i], minlength=mesh.parts) for i in range(3)], axis=1
    ) / np.maximum(count, 1)
    inward = (normals * (centre - middle[mesh.part])).sum(axis=1) < 0
    normals[inward & ~mesh.flat] *= -1
    return normals.astype(np.float32)


def rasterise(
    mesh: Mesh, normals: Array, lens: Projection, size: tuple[int, int], behind: Seen | None = None
) -> Seen:
    """Draw `mesh` on a screen of `size` (width, height), where it is nearer than `behind`."""
    width, height = size
    screen, _ = lens.project(mesh.points)
    planes, facing = lens.planes(normals, mesh.points[mesh.faces[:, 0]])
    corners = screen[mesh.faces]
    low, high = _extent(corners, mesh.part, mesh.parts)
    inside = (high[:, 0] >= 0) & (high[:, 1] >= 0) & (low[:, 0] < width) & (low[:, 1] < height)
    low = np.maximum(np.nan_to_num(np.floor(low)), 0).astype(int)
    high = np.minimum(np.nan_to_num(np.ceil(high)) + 1, [width, height]).astype(int)
    key = np.full((height, width), BEHIND, np.float32) if behind is None else behind.key.copy()
    face = np.full((height, width), -1, np.int32)
    drawn = np.flatnonzero(facing & inside[mesh.part] & np.isfinite(corners).all(axis=(1, 2)))
    fixed = np.round((corners[drawn] - low[mesh.part[drawn]][:, None]) * (1 << SUBPIXEL))
    _fill(face, key, drawn, fixed.astype(np.int32), mesh.part, low, high, planes)
    return Seen(face, key)


def _extent(corners: Array, part: Array, parts: int) -> tuple[Array, Array]:
    """Least and greatest screen position of every part; NaN (behind the eye) makes it nowhere."""
    starts = np.searchsorted(part, np.arange(parts))
    low = np.minimum.reduceat(corners.min(axis=1), starts, axis=0)
    high = np.maximum.reduceat(corners.max(axis=1), starts, axis=0)
    return low, high


def _fill(
    face: Array,
    key: Array,
    drawn: Array,
    corners: Array,
    part: Array,
    low: Array,
    high: Array,
    planes: Array,
) -> None:
    """The loop over parts: fill numbers into scratch, compare depths, keep the nearer."""
    a, b, c = (np.concatenate([[0], planes[:, i]]).astype(np.float32) for i in range(3))
    c[0] = BEHIND
    scratch = np.zeros(face.size, np.int32)
    columns = np.arange(face.shape[1], dtype=np.float32)
    rows = np.arange(face.shape[0], dtype=np.float32)[:, None]
    owners = part[drawn]
    ends = np.flatnonzero(np.diff(owners, append=-1)) + 1
    start = 0
    for end in ends.tolist():
        owner = owners[start]
        (x0, y0), (x1, y1) = low[owner].tolist(), high[owner].tolist()
        ids = scratch[: (y1 - y0) * (x1 - x0)].reshape(y1 - y0, x1 - x0)
        ids.fill(0)
        for n in range(start, end):
            cv2.fillConvexPoly(ids, corners[n], int(drawn[n]) + 1, cv2.LINE_8, SUBPIXEL)
        near = a[ids] * columns[x0:x1] + b[ids] * rows[y0:y1] + c[ids]
        target = key[y0:y1, x0:x1]
        wins = near > target
        np.copyto(target, near, where=wins)
        np.copyto(face[y0:y1, x0:x1], ids - 1, where=wins)
        start = end
