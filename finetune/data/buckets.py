"""Assign clips to buckets of one resolution, number of frames and aspect ratio."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from brickfilm.schema.buckets import aspect_ratios, assign_to_buckets, sort_buckets
from brickfilm.schema.frame_sampling import FrameSampling
from finetune.config import Bucket, Recipe
from finetune.models import find_family
from finetune.models.grid import Grid


class AspectBucket(NamedTuple):
    """A bucket at one aspect ratio; all clips of a batch share it."""

    bucket: Bucket
    ratio: str  # height / width, a key of `aspect_ratios`
    size: tuple[int, int]  # height and width in pixels

    @property
    def name(self) -> str:
        """Return the key of this bucket in a checkpoint's manifest."""
        return f"{self.bucket.resolution} x {self.bucket.frames} @ {self.ratio}"


def aspect_buckets(buckets: Sequence[Bucket], grid: Grid | None = None) -> tuple[AspectBucket, ...]:
    """Return every aspect bucket, in the order in which clips try them, its size on the grid."""
    return tuple(
        AspectBucket(bucket, ratio, grid.bucket_size(*size) if grid else size)
        for bucket in sort_buckets(buckets)
        for ratio, size in aspect_ratios()[bucket.resolution].items()
    )


def recipe_aspect_buckets(recipe: Recipe) -> tuple[AspectBucket, ...]:
    """Return the aspect buckets of a recipe, with sizes that its family takes."""
    return aspect_buckets(recipe.buckets, find_family(recipe.family).grid)


def assign_buckets(
    frames: NDArray[np.int64],
    height: NDArray[np.int64],
    width: NDArray[np.int64],
    buckets: Sequence[Bucket],
    *,
    sampling: FrameSampling,
    uniform: NDArray[np.float64] | None = None,
) -> NDArray[np.int16]:
    """Return for each clip an index into `aspect_buckets(buckets)`, or a key of `DROP_REASONS`.

    frames: seen of each clip. `uniform` [len(buckets), N] in [0, 1) applies keep_prob (None: keep
    all).
    """
    ordered, kept = sort_buckets(buckets), None
    if uniform is not None:
        kept = uniform < np.array([[bucket.keep_prob] for bucket in ordered])
    numbers = assign_to_buckets(frames, height, width, buckets, sampling=sampling, kept=kept)
    assigned, first = numbers.copy(), 0
    for number, bucket in enumerate(ordered):
        mine = numbers == number
        assigned[mine] = first + _nearest_ratio(height[mine] / width[mine], bucket.resolution)
        first += len(aspect_ratios()[bucket.resolution])
    return assigned


def _nearest_ratio(ratio: NDArray[np.float64], resolution: str) -> NDArray[np.int16]:
    """Return the index of the nearest ratio of the table; the first of equally near ones."""
    best = np.zeros(len(ratio), dtype=np.int16)
    distance = np.full(len(ratio), np.inf)
    for number, key in enumerate(aspect_ratios()[resolution]):
        difference = np.abs(ratio - float(key))
        nearer = difference < distance
        best[nearer], distance[nearer] = number, difference[nearer]
    return best
