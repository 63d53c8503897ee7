"""Before training: how many clips each bucket gets, and why the others are dropped."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finetune.config import Recipe
from finetune.data.buckets import REASONS, assign, slots
from finetune.data.cache_layout import measures
from finetune.data.index import Index
from finetune.errors import DataError


@dataclass(frozen=True)
class Survival:
    """Clips by bucket and by reason for dropping; `usable` [N] bool."""

    buckets: dict[str, int]
    dropped: dict[str, int]
    usable: NDArray[np.bool_]

    def __str__(self) -> str:
        rows = [(name, n, "") for name, n in self.buckets.items()]
        rows += [("dropped", n, reason) for reason, n in self.dropped.items()]
        width = max(len(name) for name, *_ in rows)
        return "\n".join(f"{name:<{width}} {n:>9,}  {why}".rstrip() for name, n, why in rows)


def survival(index: Index, recipe: Recipe, cached: NDArray[np.bool_] | None = None) -> Survival:
    """Count what training will see; `cached` [N] bool marks clips that the cache holds.

    A bucket without a clip raises DataError, the table in its message.
    """
    found = assign(*measures(index), recipe.buckets, interval=recipe.frame_interval)
    fits = found >= 0
    usable = fits if cached is None else fits & cached
    names = np.array([slot.bucket.frames for slot in slots(recipe.buckets)])
    resolutions = np.array([slot.bucket.resolution for slot in slots(recipe.buckets)])
    counts = {}
    for bucket in recipe.buckets:
        mine = (names == bucket.frames) & (resolutions == bucket.resolution)
        name = f"{bucket.resolution} x {bucket.frames}"
        counts[name] = int(np.isin(found[usable], np.flatnonzero(mine)).sum())
    dropped = {text: int((found == code).sum()) for code, text in REASONS.items()}
    dropped["not in the cache"] = int((fits & ~usable).sum())
    dropped["no caption"] = index.uncaptioned
    dropped["cannot be read"] = index.unreadable
    table = Survival(counts, {why: n for why, n in dropped.items() if n}, usable)
    _refuse_empty(table, recipe)
    return table


def _refuse_empty(table: Survival, recipe: Recipe) -> None:
    empty = [name for name, clips in table.buckets.items() if clips == 0]
    if empty:
        raise DataError(
            f"no clip for bucket {', '.join(empty)}:\n{table}\n"
            f"take it out of the recipe, lower frame_interval ({recipe.frame_interval}), "
            "or choose shorter frames"
        )
