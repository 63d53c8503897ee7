"""Clips of one meaning are grouped, and no pair is lost."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from brickfilm.dataset import semantic_duplicates
from brickfilm.dataset.semantic_duplicates import SAME_MEANING_COSINE, join_same_meaning
from brickfilm.dataset.union_find import UnionFind


def groups_of(vectors: NDArray[np.float32]) -> NDArray[np.intp]:
    groups = UnionFind(len(vectors))
    join_same_meaning(vectors, np.arange(len(vectors)), groups)
    return groups.find(np.arange(len(vectors)))


def brute_force(vectors: NDArray[np.float32]) -> NDArray[np.intp]:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    groups = UnionFind(len(vectors))
    groups.join(*np.nonzero(unit @ unit.T >= SAME_MEANING_COSINE))
    return groups.find(np.arange(len(vectors)))


@pytest.mark.parametrize("dimensions", [3, 8, 64])
def test_all_pairs_are_found_in_every_block(
    dimensions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In three dimensions the vectors lie dense; 64 are projected to fewer."""
    rng = np.random.default_rng(dimensions)
    scenes = rng.standard_normal((150, dimensions))
    again = scenes[rng.integers(0, 150, 450)] + 0.03 * rng.standard_normal((450, dimensions))
    vectors = np.concatenate([scenes, again]).astype(np.float32)
    expected = brute_force(vectors)
    monkeypatch.setattr(semantic_duplicates, "SAMPLE", 200)
    monkeypatch.setattr(semantic_duplicates, "BLOCK", 32)
    np.testing.assert_array_equal(groups_of(vectors), expected)
    assert 1 < len(np.unique(expected)) < 600


def test_the_length_of_a_vector_and_zeros_mean_nothing() -> None:
    vectors = np.array([[1, 0], [3, 0.1], [0, 1], [0, 0], [0, 0], [-1, 0]], np.float32)
    assert groups_of(vectors).tolist() == [0, 0, 2, 3, 4, 5]
