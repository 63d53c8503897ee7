"""The final pass: what needs all rows at once, over the sorted table.

Near-duplicates are grouped and repeated captions are counted. Splits, which depend on the groups,
are assigned in `brickfilm.dataset.splits`. A million rows are never in memory, but few columns are.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence

import numpy as np

from brickfilm.dataset.near_duplicates import near_duplicate_groups
from brickfilm.dataset.row_table import RowTable
from brickfilm.dataset.semantic_duplicates import Vectors, join_same_meaning
from brickfilm.dataset.union_find import UnionFind

Embeddings = list[tuple[Sequence[str], Vectors]]
"""Ids and vectors of clips, apart for each model: those of two models cannot be compared."""


def group_near_duplicates(rows: RowTable, embeddings: Embeddings | None = None) -> list[str]:
    """Return for each row the least id among the clips that look alike.

    With embeddings, also among those that mean the same.
    """
    ids = list(rows.column("id"))
    look_alike = near_duplicate_groups(ids, rows.column("frame_hashes"))
    return _joined(ids, look_alike, embeddings or [])


def _joined(ids: Sequence[str], look_alike: list[str], embeddings: Embeddings) -> list[str]:
    """Return the least id in each group, after those of one meaning have joined."""
    if not embeddings:
        return look_alike
    names = sorted(ids)
    place = {name: n for n, name in enumerate(names)}
    groups = UnionFind(len(names))
    groups.join(np.array([place[n] for n in ids]), np.array([place[n] for n in look_alike]))
    for embedded, vectors in embeddings:
        join_same_meaning(vectors, np.array([place[id] for id in embedded], np.intp), groups)
    roots = groups.find(np.array([place[id] for id in ids]))
    return [names[root] for root in roots]


def count_repeated_captions(rows: RowTable) -> list[float]:
    """Return for each row the number of other rows with the same caption, if it has one."""
    has_caption = array("b")
    digests = bytearray()
    for caption in rows.column("caption"):
        has_caption.append(bool(caption))
        digests += hashlib.blake2b(caption.encode(), digest_size=16).digest()
    captions = np.frombuffer(digests, np.uint64).reshape(-1, 2)
    _, which, counts = np.unique(captions, axis=0, return_inverse=True, return_counts=True)
    others: list[float] = ((counts[which] - 1.0) * has_caption).tolist()
    return others
