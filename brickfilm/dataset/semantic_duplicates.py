"""Find clips of the same meaning by their embeddings: k-means, then cosines inside clusters.

As SemDeDup (Abbas et al., 2023), but no pair is lost at the border of two clusters: each vector
also visits the clusters that may hold a vector near it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from brickfilm.dataset.union_find import Indices, UnionFind

Vectors = NDArray[np.float32]

SAME_MEANING_COSINE = 0.99
"""Cosine from which two clips mean the same: 1 - eps of 0.01, the default of cosmos-curate 1.4."""
CLUSTER_SIZE = 2048
"""Vectors of a cluster, on average: below, all pairs are compared."""
SAMPLES_PER_CLUSTER, ROUNDS = 32, 8
"""Of k-means, which only shares out the work: the pairs that are found do not depend on it."""
BLOCK = 4096
"""Rows compared at once, to bound memory."""


def join_same_meaning(vectors: Vectors, places: Indices, groups: UnionFind) -> None:
    """Join places[i] and places[j] of `groups` where vectors i and j have SAME_MEANING_COSINE.

    vectors: [n, d], of any length but 0.
    """
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    for members, visitors in _clusters(unit):
        for start in range(0, members.size, BLOCK):
            rows = members[start : start + BLOCK]
            for first in range(0, visitors.size, BLOCK):
                columns = visitors[first : first + BLOCK]
                a, b = np.nonzero(unit[rows] @ unit[columns].T >= SAME_MEANING_COSINE)
                groups.join(places[rows[a]], places[columns[b]])


def _clusters(unit: Vectors) -> Iterator[tuple[Indices, Indices]]:
    """Yield each cluster's vectors, and all that may be near one of them.

    If a and b are at most r apart, b is at most 2 r farther from the centre of a's cluster than
    from its own, by the triangle inequality.
    """
    count = -(-len(unit) // CLUSTER_SIZE)
    every = np.arange(len(unit))
    if count < 2:
        yield every, every
        return
    centres = _centres(unit, count)
    blocks = (unit[n : n + BLOCK] for n in range(0, len(unit), BLOCK))
    nearest = np.concatenate([_squares(block, centres).argmin(axis=1) for block in blocks])
    margin = 2 * np.sqrt(2 - 2 * SAME_MEANING_COSINE) + 1e-3
    own = np.linalg.norm(unit - centres[nearest], axis=1)
    for n in range(count):
        if (members := np.flatnonzero(nearest == n)).size:
            distances = np.sqrt(_squares(unit, centres[n : n + 1])[:, 0])
            yield members, np.flatnonzero(distances <= own + margin)


def _centres(unit: Vectors, count: int) -> Vectors:
    """Return centres by Lloyd's algorithm on evenly spaced vectors."""
    sample = unit[:: max(1, len(unit) // (count * SAMPLES_PER_CLUSTER))]
    centres = sample[:: max(1, len(sample) // count)][:count].copy()
    for _ in range(ROUNDS):
        nearest = _squares(sample, centres).argmin(axis=1)
        for n in np.unique(nearest):
            centres[n] = sample[nearest == n].mean(axis=0)
    return centres


def _squares(a: Vectors, b: Vectors) -> Vectors:
    """Return squared distances, [len(a), len(b)]."""
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    return np.asarray(np.maximum(squares, 0), np.float32)
