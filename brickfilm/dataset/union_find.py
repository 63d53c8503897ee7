"""Disjoint sets of integers, in numpy arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.intp]


class UnionFind:
    """Disjoint sets of the integers below `size`. The root of a set is its least member."""

    def __init__(self, size: int) -> None:
        self._parent = np.arange(size)

    def find(self, members: Indices) -> Indices:
        """Return the root of each member, and shorten the paths to it."""
        while True:
            parents = self._parent[members]
            roots = self._parent[parents]
            if np.array_equal(parents, roots):
                return roots
            self._parent[members] = roots

    def join(self, a: Indices, b: Indices) -> None:
        """Merge the sets of a[i] and b[i] for every i."""
        while a.size:
            roots_a, roots_b = self.find(a), self.find(b)
            apart = roots_a != roots_b
            a, b = roots_a[apart], roots_b[apart]
            np.minimum.at(self._parent, np.maximum(a, b), np.minimum(a, b))
