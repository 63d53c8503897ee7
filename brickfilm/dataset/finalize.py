"""The final pass: what needs all rows at once, over the sorted table.

Rows with one id become one, near-duplicates are grouped and repeated captions are counted. Splits,
which depend on the groups, are assigned in `brickfilm.dataset.splits`. Rows are read one after the
other, several times: a million of them is never in memory.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from brickfilm.dataset.near_duplicates import near_duplicate_groups
from brickfilm.dataset.rows import DatasetRow
from brickfilm.dataset.semantic_duplicates import Vectors, join_same_meaning
from brickfilm.dataset.union_find import UnionFind
from brickfilm.engine.spilled_list import SpilledList

Embeddings = list[tuple[Sequence[str], Vectors]]
"""Ids and vectors of clips, apart for each model: those of two models cannot be compared."""
SORTED_ROWS = 20_000
"""Rows that are sorted in memory, about 60 MB; more are merged from files."""
MERGED_ROWS = 100
"""Rows of each file that are in memory while it is merged with others."""


def dedupe_by_id(rows: Iterable[DatasetRow], folder: Path) -> Iterator[DatasetRow]:
    """Sort rows and keep one for each id: if a video has two source ids, the least is kept.

    folder: where temporary files are made.
    """
    order = itemgetter("id", "source_id")
    rows = iter(rows)
    runs: list[Sequence[DatasetRow]] = []
    while run := sorted(islice(rows, SORTED_ROWS), key=order):
        is_full = len(run) == SORTED_ROWS
        runs.append(SpilledList(folder, run, chunk=MERGED_ROWS) if is_full else run)
    for _, same in groupby(heapq.merge(*runs, key=order), key=itemgetter("id")):
        yield next(same)


def group_near_duplicates(
    rows: Sequence[DatasetRow], embeddings: Embeddings | None = None
) -> list[str]:
    """Return for each row the least id among the clips that look alike.

    With embeddings, also among those that mean the same.
    """
    ids = [row["id"] for row in rows]
    look_alike = near_duplicate_groups(ids, (row["frame_hashes"] for row in rows))
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


def count_repeated_captions(rows: Sequence[DatasetRow]) -> list[float]:
    """Return for each row the number of other rows with the same caption, if it has one."""
    digests = (hashlib.blake2b(row["caption"].encode(), digest_size=16).digest() for row in rows)
    captions = np.frombuffer(b"".join(digests), np.uint64).reshape(-1, 2)
    _, which, counts = np.unique(captions, axis=0, return_inverse=True, return_counts=True)
    others = (counts[which] - 1).astype(float).tolist()
    return [n if row["caption"] else 0.0 for n, row in zip(others, rows, strict=True)]


def with_columns(rows: Iterable[DatasetRow], **columns: Iterable[Any]) -> Iterator[DatasetRow]:
    """Yield the rows with a value of each column, in its place or behind the others."""
    for row, *values in zip(rows, *columns.values(), strict=True):
        yield {**row, **dict(zip(columns, values, strict=True))}
