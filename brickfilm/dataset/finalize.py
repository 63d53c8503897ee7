"""The final pass: what needs all rows at once, over the sorted table.

Rows with one id become one, near-duplicates are grouped and repeated captions are counted. Splits,
which depend on the groups, are assigned in `brickfilm.dataset.splits`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from brickfilm.dataset.near_duplicates import near_duplicate_groups
from brickfilm.dataset.rows import DatasetRow


def dedupe_by_id(rows: Iterable[DatasetRow]) -> list[DatasetRow]:
    """Sort rows and keep one for each id: if a video has two source ids, the least is kept."""
    ordered = sorted(rows, key=lambda row: (row["id"], row["source_id"]))
    return list({row["id"]: row for row in reversed(ordered)}.values())[::-1]


def group_near_duplicates(rows: Sequence[DatasetRow]) -> None:
    """Set `near_duplicate_group` to the least id among the clips that look alike."""
    ids, hashes = [row["id"] for row in rows], [row["frame_hashes"] for row in rows]
    for row, group in zip(rows, near_duplicate_groups(ids, hashes), strict=True):
        row["near_duplicate_group"] = group


def mark_repeated_captions(rows: Sequence[DatasetRow]) -> None:
    """Set `score_caption_repeats` to the number of other rows with the same caption, if any."""
    counts = Counter(row["caption"] for row in rows)
    for row in rows:
        row["score_caption_repeats"] = float(counts[row["caption"]] - 1) if row["caption"] else 0.0
