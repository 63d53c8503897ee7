"""The final pass: what needs all rows at once, over the sorted table.

Rows with one id become one, near-duplicates are grouped and repeated captions are counted. Splits,
which depend on the groups, are assigned in `brickfilm.dataset.splits`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from brickfilm.dataset.near_duplicates import near_duplicate_groups
from brickfilm.dataset.rows import DatasetRow
from brickfilm.dataset.semantic_duplicates import Vectors, join_same_meaning
from brickfilm.dataset.union_find import UnionFind


def dedupe_by_id(rows: Iterable[DatasetRow]) -> list[DatasetRow]:
    """Sort rows and keep one for each id: if a video has two source ids, the least is kept."""
    ordered = sorted(rows, key=lambda row: (row["id"], row["source_id"]))
    return list({row["id"]: row for row in reversed(ordered)}.values())[::-1]


Embeddings = list[tuple[Sequence[str], Vectors]]
"""Ids and vectors of clips, apart for each model: those of two models cannot be compared."""


def group_near_duplicates(rows: Sequence[DatasetRow], embeddings: Embeddings | None = None) -> None:
    """Set `near_duplicate_group` to the least id among the clips that look alike.

    With embeddings, also among those that mean the same.
    """
    ids, hashes = [row["id"] for row in rows], [row["frame_hashes"] for row in rows]
    look_alike = near_duplicate_groups(ids, hashes)
    for row, group in zip(rows, _joined(ids, look_alike, embeddings or []), strict=True):
        row["near_duplicate_group"] = group


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


def mark_repeated_captions(rows: Sequence[DatasetRow]) -> None:
    """Set `score_caption_repeats` to the number of other rows with the same caption, if any."""
    counts = Counter(row["caption"] for row in rows)
    for row in rows:
        row["score_caption_repeats"] = float(counts[row["caption"]] - 1) if row["caption"] else 0.0
