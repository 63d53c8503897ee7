"""Choose one clip of each group of near-duplicates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import groupby
from operator import itemgetter
from typing import Any, Literal

from brickfilm.dataset.row_table import RowTable
from brickfilm.dataset.rows import DatasetRow

DuplicatesMode = Literal["mark", "keep-best", "keep-one"]
"""Keep all clips and mark their groups; or keep the best of each group; or the one of least id."""
MODES: tuple[str, ...] = ("mark", "keep-best", "keep-one")
GROUP = "near_duplicate_group"
RATED = ("resolution", "caption", "score_aesthetic", "score_sharpness", "num_frames")
"""Columns that say which clip of a group is the best."""


def dropped_duplicates(rows: RowTable, mode: DuplicatesMode) -> dict[str, str]:
    """Return the ids of clips to drop, each with the id of the clip that stays in its place.

    The best has the most pixels, then a caption, then the highest `score_aesthetic` and
    `score_sharpness`, then the most frames; of equals the least id stays.
    """
    if mode == "mark":
        return {}
    sizes = Counter(rows.column(GROUP))
    rated = rows.select("id", GROUP, *RATED)
    ordered = sorted((r for r in rated if sizes[r[GROUP]] > 1), key=itemgetter(GROUP, "id"))
    dropped: dict[str, str] = {}
    for _, grouped in groupby(ordered, key=itemgetter(GROUP)):
        group = list(grouped)
        kept = max(group, key=_quality) if mode == "keep-best" else group[0]
        dropped |= {row["id"]: kept["id"] for row in group if row is not kept}
    return dropped


def without_clips(rows: RowTable, dropped: Mapping[str, str]) -> RowTable:
    """Return rows of clips or images without those of dropped clips, which leaves no group."""
    if not dropped:
        return rows
    of_images = "clip_id" in rows.names
    clips = rows.column("clip_id" if of_images else "id")
    kept = rows.filtered([clip not in dropped for clip in clips])
    return kept if of_images else kept.with_columns(**{GROUP: list(kept.column("id"))})


def _quality(row: DatasetRow) -> tuple[Any, ...]:
    scores = (row.get(f"score_{name}") or 0.0 for name in ("aesthetic", "sharpness"))
    return (row["resolution"], bool(row["caption"]), *scores, row["num_frames"])
