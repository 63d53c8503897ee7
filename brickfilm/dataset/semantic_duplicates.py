"""Find clips of the same meaning by the cosines of their embeddings.

As SemDeDup (Abbas et al., 2023), but every pair is compared: k-means, which shares out the work
there, loses pairs at the border of two clusters. A projection to few dimensions, in which no two
vectors are farther from each other than in all, leaves almost no pair to compute the cosine of.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from brickfilm.dataset.union_find import Indices, UnionFind

Vectors = NDArray[np.float32]

SAME_MEANING_COSINE = 0.99
"""Cosine from which two clips mean the same: 1 - eps of 0.01, the default of cosmos-curate 1.4."""
DIMENSIONS = 32
"""Of the projection: random unit vectors of 512 are 6 times as far apart in it as the bound."""
SAMPLE = 4096
"""Vectors that the directions of the projection are computed from."""
BLOCK = 4096
"""Rows compared at once, to bound memory."""
MIN_CLOSENESS = SAME_MEANING_COSINE - 1 - 1e-4
"""Minus half the squared distance of unit vectors of that cosine, less the rounding of float32."""


def join_same_meaning(vectors: Vectors, places: Indices, groups: UnionFind) -> None:
    """Join places[i] and places[j] of `groups` where vectors i and j have SAME_MEANING_COSINE.

    vectors: [n, d], of any length but 0.
    """
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    left, right = _projected(unit)
    starts = range(0, len(unit), BLOCK)
    for start, first in ((a, b) for a in starts for b in starts if a <= b):
        closeness = left[start : start + BLOCK] @ right[first : first + BLOCK].T
        if start == first:
            np.fill_diagonal(closeness, -np.inf)
        is_near = closeness.max(axis=1) >= MIN_CLOSENESS
        if not is_near.any():
            continue
        rows = start + np.flatnonzero(is_near)
        columns = first + np.flatnonzero(closeness.max(axis=0) >= MIN_CLOSENESS)
        a, b = np.nonzero(unit[rows] @ unit[columns].T >= SAME_MEANING_COSINE)
        groups.join(places[rows[a]], places[columns[b]])


def _projected(unit: Vectors) -> tuple[Vectors, Vectors]:
    """Return two matrices whose product is minus half the squared distances in the projection.

    The directions are those in which the vectors differ most (principal components).
    """
    sample = unit[:: max(1, len(unit) // SAMPLE)]
    _, directions = np.linalg.eigh(sample.T @ sample)  # ascending
    short = unit @ directions[:, -DIMENSIONS:]
    half = (short**2).sum(axis=1, keepdims=True) / 2
    ones = np.ones_like(half)
    return np.hstack([short, -half, ones]), np.hstack([short, ones, -half])
