"""Count before training the clips of each bucket, and those dropped by reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from brickfilm.schema.buckets import (
    DROP_REASONS,
    NO_CAPTION,
    is_large_enough,
    is_long_enough,
    nominal_pixels,
    resolutions,
)
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

    Raise DataError, with the reasons, if a bucket gets no clip.
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
    if not all(coverage.clips_per_bucket.values()):
        raise _no_clip_error(coverage, recipe, index, missing or {})
    return coverage


def _no_clip_error(
    coverage: BucketCoverage, recipe: Recipe, index: Index, missing: Container[str]
) -> DataError:
    empty = [b for b in recipe.buckets if not coverage.clips_per_bucket[str(b)]]
    reasons = ", ".join(f"{n:,} {text}" for text, n in coverage.dropped.items())
    remedies = _remedies(empty, recipe, index)
    if any(reason in missing for reason in coverage.dropped):
        remedies = "run `finetune cache RECIPE`"
    return DataError(
        f"no clip for bucket {', '.join(map(str, empty))} (rows without one: {reasons or 'none'}): "
        f"{remedies}{', or ' * bool(remedies)}remove the bucket"
    )


def _remedies(empty: Sequence[Bucket], recipe: Recipe, index: Index) -> str:
    """Say how to lower the least of the empty buckets to clips that are too short or too small."""
    seen, height, width = clip_shapes(index, recipe)
    bucket = min(empty, key=lambda b: (b.frames, nominal_pixels(b.resolution)))
    of_kind = (seen == 1) == (bucket.frames == 1)
    large = of_kind & is_large_enough(bucket, height, width)
    long = of_kind & is_long_enough(bucket, seen, recipe.frame_sampling)
    longest = int(seen[large if large.any() else of_kind].max(initial=0))
    pixels = np.where(long if long.any() else of_kind, height * width, 0)
    largest = int(pixels.argmax())
    rows, columns = int(height[largest]), int(width[largest])
    remedies = []
    if 1 < longest < recipe.frame_sampling.needed(bucket.frames):
        remedies.append(_shorter_bucket(recipe, bucket, longest))
    if pixels[largest] and not is_large_enough(bucket, rows, columns):
        remedies.append(_smaller_bucket(recipe, bucket, rows, columns))
    return (", or " if large.any() or long.any() else ", and ").join(remedies)


def _smaller_bucket(recipe: Recipe, bucket: Bucket, rows: int, columns: int) -> str:
    """Say how to train on clips of this size, too small for the bucket."""
    names = [name for name in resolutions() if name.endswith("p")]  # others are of other shapes
    fits = [n for n in names if is_large_enough(replace(bucket, resolution=n), rows, columns)]
    remedy = f"set buckets.{recipe.buckets.index(bucket)}.resolution=" if fits else "scale it up"
    return f"the largest has {columns} x {rows} pixels: {remedy}{''.join(fits[-1:])}"


def _shorter_bucket(recipe: Recipe, bucket: Bucket, longest: int) -> str:
    """Say how to train on clips that show `longest` frames, too few for the bucket."""
    grid, sampling = find_family(recipe.family).grid, recipe.frame_sampling
    fitting = (longest - 1) // sampling.interval if sampling.kind == "interval" else longest
    steps = (fitting - grid.frame_offset) // grid.frame_step
    remedy = f"set buckets.{recipe.buckets.index(bucket)}.frames="
    remedy += str(grid.frame_offset + grid.frame_step * steps)
    if steps < 1:
        least = grid.frame_offset + grid.frame_step
        remedy = f"family {recipe.family!r} takes at least {least}: cut longer shots"
    lower = f", or lower frame_interval ({sampling.interval})" * (sampling.interval > 1)
    return (
        f"the longest has {longest} and needs {sampling.describe_needed(bucket.frames)}: "
        f"{remedy}{lower}"
    )
