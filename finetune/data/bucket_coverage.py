"""Count before training the clips of each bucket, and those dropped by reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finetune.config import Recipe
from finetune.data.buckets import DROP_REASONS, assign_buckets, recipe_aspect_buckets
from finetune.data.cache_layout import clip_shapes
from finetune.data.index import Index
from finetune.errors import DataError


@dataclass(frozen=True)
class BucketCoverage:
    """Number of clips per bucket and per drop reason; `usable` [N] bool."""

    clips_per_bucket: dict[str, int]
    dropped: dict[str, int]
    usable: NDArray[np.bool_]

    def __str__(self) -> str:
        rows = [(name, n, "") for name, n in self.clips_per_bucket.items()]
        rows += [("dropped", n, reason) for reason, n in self.dropped.items()]
        width = max(len(name) for name, *_ in rows)
        return "\n".join(f"{name:<{width}} {n:>9,}  {text}".rstrip() for name, n, text in rows)


def bucket_coverage(
    index: Index, recipe: Recipe, missing: Mapping[str, NDArray[np.bool_]] | None = None
) -> BucketCoverage:
    """Count the clips that training will use; `missing` marks others [N] bool by a reason.

    Raise DataError, with the table, if a bucket gets no clip.
    """
    assigned = assign_buckets(*clip_shapes(index), recipe.buckets, interval=recipe.frame_interval)
    usable = assigned >= 0
    dropped = {text: int((assigned == code).sum()) for code, text in DROP_REASONS.items()}
    for text, mask in (missing or {}).items():
        dropped[text] = int((usable & mask).sum())
        usable &= ~mask
    names = np.array([str(a.bucket) for a in recipe_aspect_buckets(recipe)])
    clips = Counter(names[assigned[usable]].tolist())
    dropped["no caption"] = index.uncaptioned
    dropped["cannot be read"] = index.unreadable
    coverage = BucketCoverage(
        {str(bucket): clips[str(bucket)] for bucket in recipe.buckets},
        {text: n for text, n in dropped.items() if n},
        usable,
    )
    _check_no_empty_bucket(coverage, recipe)
    return coverage


def _check_no_empty_bucket(coverage: BucketCoverage, recipe: Recipe) -> None:
    empty = [name for name, clips in coverage.clips_per_bucket.items() if clips == 0]
    if empty:
        raise DataError(
            f"no clip for bucket {', '.join(empty)}:\n{coverage}\n"
            f"remove it from the recipe, lower frame_interval ({recipe.frame_interval}), "
            "or choose shorter frames"
        )
