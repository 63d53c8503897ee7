"""Choose one clip of each group of near-duplicates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, Literal

from brickfilm.dataset.rows import DatasetRow

DuplicatesMode = Literal["mark", "keep-best", "keep-one"]
"""Keep all clips and mark their groups; or keep the best of each group; or the one of least id."""
MODES: tuple[str, ...] = ("mark", "keep-best", "keep-one")
GROUP = "near_duplicate_group"


def dropped_duplicates(rows: Sequence[DatasetRow], mode: DuplicatesMode) -> dict[str, str]:
    """Return the ids of clips to drop, each with the id of the clip that stays in its place.

    The best has the most pixels, then a caption, then the highest `score_aesthetic` and
    `score_sharpness`, then the most frames; of equals the least id stays.
    """
    if mode == "mark":
        return {}
    sizes = Counter(row[GROUP] for row in rows)
    ordered = sorted((r for r in rows if sizes[r[GROUP]] > 1), key=itemgetter(GROUP, "id"))
    dropped: dict[str, str] = {}
    for _, grouped in groupby(ordered, key=itemgetter(GROUP)):
        group = list(grouped)
        kept = max(group, key=_quality) if mode == "keep-best" else group[0]
        dropped |= {row["id"]: kept["id"] for row in group if row is not kept}
    return dropped


def without_clips(rows: Iterable[DatasetRow], dropped: Mapping[str, str]) -> Iterator[DatasetRow]:
    """Yield rows of clips or images without those of dropped clips, which leaves no group."""
    for row in rows:
        if row.get("clip_id", row["id"]) not in dropped:
            yield {**row, GROUP: row["id"]} if dropped and GROUP in row else row


def _quality(row: DatasetRow) -> tuple[Any, ...]:
    scores = (row.get(f"score_{name}") or 0.0 for name in ("aesthetic", "sharpness"))
    return (row["resolution"], bool(row["caption"]), *scores, row["num_frames"])
