"""Choose the samples of a finely rasterised picture that need a colour of their own.

Where all samples of a pixel show one face and no edge, one of them stands for all; only the other
pixels are shaded sample by sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tests.brickworld.kinds import Array
from tests.brickworld.mesh import Mesh
from tests.brickworld.raster import Perspective, Seen

FINE = 2
"""Samples a pixel, each way."""
SEAM, CREASE = 0.62, 1.22
"""Brightness where two bricks meet, and on the edge of one."""


@dataclass(frozen=True)
class Samples:
    """S samples to shade, for N pixels: first the plain pixels' one each, then four each."""

    rows: Array
    columns: Array
    """[N] pixels."""
    plain: int
    """Number of pixels with one sample."""
    face: Array
    """[S] the face seen; where `there` is False, any."""
    there: Array
    """[S]."""
    tint: Array
    """[S] brightness of seams and creases."""
    y: Array
    x: Array
    """[S] place of the sample on the fine screen."""
    key: Array
    """[S]."""

    def per_pixel(self, values: Array) -> Array:
        """Samples' values [S, ...] to pixels' [N, ...], what is not there counting nothing."""
        rest = values[self.plain :]
        mask = self.there[self.plain :].reshape(-1, *[1] * (values.ndim - 1))
        many = (rest * mask).reshape(-1, FINE * FINE, *values.shape[1:]).sum(axis=1)
        many *= 1 / (FINE * FINE)
        pixels: Array = np.concatenate([values[: self.plain], many])
        return pixels

    def cover(self) -> Array:
        """[N] share of each pixel that is covered."""
        return self.per_pixel(np.ones(len(self.face), np.float32))

    def linear(self, lens: Perspective, axes: Array) -> Array:
        """[3, S] where the samples stand, in `axes` (rows; from the origin of the world)."""
        depth = (1 / np.maximum(self.key, 1e-6)).astype(np.float32)
        turn = axes @ lens.axes.T
        right, up = turn[:, 0] / lens.focal, -turn[:, 1] / lens.focal
        still = turn[:, 2] - right * lens.centre[0] - up * lens.centre[1]
        eye = axes @ lens.eye
        x, y = self.x.astype(np.float32), self.y.astype(np.float32)
        return np.stack(
            [
                (np.float32(right[n]) * x + np.float32(up[n]) * y + np.float32(still[n])) * depth
                + np.float32(eye[n])
                for n in range(3)
            ]
        )


def samples_of(seen: Seen, mesh: Mesh) -> Samples:
    """Choose the samples of `seen`, a screen of whole pixels."""
    tint = _edges(seen, mesh)
    least, most = _paired(seen.face, np.minimum), _paired(seen.face, np.maximum)
    one = (least == most) & (_paired(tint, np.multiply) == 1)
    rows, columns = np.nonzero(one & (most >= 0))
    mixed_rows, mixed_columns = np.nonzero(~one & (most >= 0))
    dy, dx = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    y = np.concatenate([rows * FINE, (mixed_rows[:, None] * FINE + dy).ravel()])
    x = np.concatenate([columns * FINE, (mixed_columns[:, None] * FINE + dx).ravel()])
    flat = y * seen.face.shape[1] + x
    found = seen.face.ravel()[flat]
    return Samples(
        np.concatenate([rows, mixed_rows]),
        np.concatenate([columns, mixed_columns]),
        len(rows),
        np.maximum(found, 0),
        found >= 0,
        tint.ravel()[flat],
        y,
        x,
        seen.key.ravel()[flat],
    )


def _paired(fine: Array, how: np.ufunc) -> Array:
    """[H, W] samples folded into [H / 2, W / 2] pixels."""
    rows = how(fine[0::2], fine[1::2])
    folded: Array = how(rows[:, 0::2], rows[:, 1::2])
    return folded


def _edges(seen: Seen, mesh: Mesh) -> Array:
    """[H, W] dark where two parts touch, light on a part's own edges, 1 elsewhere."""
    factor = np.ones(seen.face.shape, np.float32)
    for axis in (0, 1):
        here, there = [slice(None), slice(None)], [slice(None), slice(None)]
        here[axis], there[axis] = slice(0, -1), slice(1, None)
        a, b = tuple(here), tuple(there)
        rows, columns = np.nonzero(seen.face[a] != seen.face[b])
        first, second = seen.face[a][rows, columns], seen.face[b][rows, columns]
        real = (first >= 0) & (second >= 0) & ~mesh.flat[first] & ~mesh.flat[second]
        rows, columns, first, second = (v[real] for v in (rows, columns, first, second))
        same = mesh.part[first] == mesh.part[second]
        keys = seen.key[a][rows, columns], seen.key[b][rows, columns]
        seam = ~same & (np.abs(keys[0] - keys[1]) < 0.012 * keys[0])
        crease = same & ((mesh.normal[first] * mesh.normal[second]).sum(axis=1) < 0.6)
        factor[a][rows[crease], columns[crease]] = CREASE
        factor[a][rows[seam], columns[seam]] = SEAM
        factor[b][rows[seam], columns[seam]] = SEAM
    return factor
