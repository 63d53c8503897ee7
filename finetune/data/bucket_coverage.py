"""Before training: how many clips each bucket gets, and why the others are dropped."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finetune.config import Recipe
from finetune.data.buckets import DROP_REASONS, aspect_buckets, assign_buckets
from finetune.data.cache_layout import clip_shapes
from finetune.data.index import Index
from finetune.errors import DataError


@dataclass(frozen=True)
class BucketCoverage:
    """Clips by bucket and by reason for dropping; `usable` [N] bool."""

    buckets: dict[str, int]
    dropped: dict[str, int]
    usable: NDArray[np.bool_]

    def __str__(self) -> str:
        rows = [(name, n, "") for name, n in self.buckets.items()]
        rows += [("dropped", n, reason) for reason, n in self.dropped.items()]
        width = max(len(name) for name, *_ in rows)
        return "\n".join(f"{name:<{width}} {n:>9,}  {why}".rstrip() for name, n, why in rows)


def bucket_coverage(
    index: Index, recipe: Recipe, cached: NDArray[np.bool_] | None = None
) -> BucketCoverage:
    """Count what training will see; `cached` [N] bool marks clips that the cache holds.

    A bucket without a clip raises DataError, the table in its message.
    """
    found = assign_buckets(*clip_shapes(index), recipe.buckets, interval=recipe.frame_interval)
    fits = found >= 0
    usable = fits if cached is None else fits & cached
    names = np.array(
        [aspect_bucket.bucket.frames for aspect_bucket in aspect_buckets(recipe.buckets)]
    )
    resolutions = np.array(
        [aspect_bucket.bucket.resolution for aspect_bucket in aspect_buckets(recipe.buckets)]
    )
    counts = {}
    for bucket in recipe.buckets:
        mine = (names == bucket.frames) & (resolutions == bucket.resolution)
        name = f"{bucket.resolution} x {bucket.frames}"
        counts[name] = int(np.isin(found[usable], np.flatnonzero(mine)).sum())
    dropped = {text: int((found == code).sum()) for code, text in DROP_REASONS.items()}
    dropped["not in the cache"] = int((fits & ~usable).sum())
    dropped["no caption"] = index.uncaptioned
    dropped["cannot be read"] = index.unreadable
    coverage = BucketCoverage(counts, {why: n for why, n in dropped.items() if n}, usable)
    _check_no_empty_bucket(coverage, recipe)
    return coverage


def _check_no_empty_bucket(coverage: BucketCoverage, recipe: Recipe) -> None:
    empty = [name for name, clips in coverage.buckets.items() if clips == 0]
    if empty:
        raise DataError(
            f"no clip for bucket {', '.join(empty)}:\n{coverage}\n"
            f"take it out of the recipe, lower frame_interval ({recipe.frame_interval}), "
            "or choose shorter frames"
        )
