"""Count before training the clips of each bucket, and those dropped by reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brickfilm.schema.buckets import DROP_REASONS, NO_CAPTION
from finetune.config import Bucket, Recipe
from finetune.data.buckets import recipe_aspect_buckets
from finetune.data.cache_layout import assign_recipe_buckets, clip_shapes
from finetune.data.index import Index
from finetune.errors import DataError
from finetune.models import find_family

MANY_EPOCHS = 100
"""Epochs above which a run is warned of: published recipes have fewer than ten."""


@dataclass(frozen=True)
class Epochs:
    """The samples of a run, and the clips that they are drawn from."""

    samples: int
    clips: int

    @property
    def count(self) -> float:
        return self.samples / max(1, self.clips)

    def __str__(self) -> str:
        number = f"{self.count:,.0f}" if self.count >= MANY_EPOCHS else f"{self.count:,.2g}"
        return f"{self.samples:,} samples = {number} epochs over {self.clips:,} usable clips"


def step_shares(buckets: Sequence[Bucket], clips: Mapping[str, int]) -> dict[Bucket, float]:
    """Return the share of steps of each bucket: an epoch uses every clip of every bucket once.

    clips: by the bucket's name; 1 for a bucket that it lacks.
    """
    steps = {b: clips.get(str(b), 1) / b.batch_size for b in buckets}
    return {bucket: count / sum(steps.values()) for bucket, count in steps.items()}


@dataclass(frozen=True)
class BucketCoverage:
    """Number of clips per bucket and per drop reason; `usable` [N] bool."""

    clips_per_bucket: dict[str, int]
    dropped: dict[str, int]
    usable: NDArray[np.bool_]

    def epochs(self, recipe: Recipe, ranks: int) -> Epochs:
        """Return how often a run of this recipe sees each usable clip."""
        shares = step_shares(recipe.buckets, self.clips_per_bucket).items()
        samples = recipe.steps * ranks * sum(share * b.batch_size for b, share in shares)
        return Epochs(round(samples), int(self.usable.sum()))

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
    assigned = assign_recipe_buckets(index, recipe)
    usable = assigned >= 0
    dropped = {text: int((assigned == code).sum()) for code, text in DROP_REASONS.items()}
    for text, mask in (missing or {}).items():
        dropped[text] = int((usable & mask).sum())
        usable &= ~mask
    names = np.array([str(a.bucket) for a in recipe_aspect_buckets(recipe)])
    clips = Counter(names[assigned[usable]].tolist())
    dropped[NO_CAPTION] = index.uncaptioned
    dropped["cannot be read"] = index.unreadable
    coverage = BucketCoverage(
        {str(bucket): clips[str(bucket)] for bucket in recipe.buckets},
        {text: n for text, n in dropped.items() if n},
        usable,
    )
    _check_no_empty_bucket(coverage, recipe, index)
    return coverage


def _check_no_empty_bucket(coverage: BucketCoverage, recipe: Recipe, index: Index) -> None:
    empty = [b for b in recipe.buckets if not coverage.clips_per_bucket[str(b)]]
    if not empty:
        return
    sampling, longest = recipe.frame_sampling, int(clip_shapes(index, recipe)[0].max(initial=0))
    names = ", ".join(map(str, empty))
    shortest = min(empty, key=lambda bucket: bucket.frames)
    needed = sampling.describe_needed(shortest.frames)
    interval = f"lower frame_interval ({sampling.interval}), " * (sampling.kind == "interval")
    fitting = (longest - 1) // sampling.interval if sampling.kind == "interval" else longest
    if 1 < fitting < shortest.frames:
        raise DataError(
            f"no clip for bucket {names}: every clip is too short, the longest has {longest} and "
            f"needs {needed}: {_shorter_bucket(recipe, shortest, fitting)}, {interval}or remove "
            "the bucket"
        )
    raise DataError(
        f"no clip for bucket {names}:\n{coverage}\n"
        f"remove it from the recipe, {interval}or choose fewer frames: a clip needs {needed}, "
        f"the longest has {longest}"
    )


def _shorter_bucket(recipe: Recipe, bucket: Bucket, fitting: int) -> str:
    """Say how to train on clips that show `fitting` frames, fewer than the bucket has."""
    grid = find_family(recipe.family).grid
    steps = (fitting - grid.frame_offset) // grid.frame_step
    if steps < 1:
        least = grid.frame_offset + grid.frame_step
        return f"family {recipe.family!r} takes at least {least}: cut longer shots"
    frames = grid.frame_offset + grid.frame_step * steps
    return f"set buckets.{recipe.buckets.index(bucket)}.frames={frames}"
