"""Assign clips to buckets of one resolution, number of frames and aspect ratio."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from brickfilm.schema.buckets import aspect_ratios, is_large_enough, is_long_enough, sort_buckets
from finetune.config import Bucket, Recipe
from finetune.models import find_family
from finetune.models.family import Grid


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


# Reasons for having no aspect bucket, beside the numbers of buckets from 0.
TOO_FEW_PIXELS, TOO_FEW_FRAMES, NO_IMAGE_BUCKET, NOT_SAMPLED = -1, -2, -3, -4
DROP_REASONS = {
    TOO_FEW_PIXELS: "under 80 % of the bucket's pixels",
    TOO_FEW_FRAMES: "too short for every bucket",
    NO_IMAGE_BUCKET: "an image, and no image bucket",
    NOT_SAMPLED: "not sampled (keep_prob < 1)",
}


def assign_buckets(
    frames: NDArray[np.int64],
    height: NDArray[np.int64],
    width: NDArray[np.int64],
    buckets: Sequence[Bucket],
    *,
    interval: int,
    uniform: NDArray[np.float64] | None = None,
) -> NDArray[np.int16]:
    """Return for each clip an index into `aspect_buckets(buckets)`, or a negative drop reason.

    A clip of one frame goes to an image bucket only, others to the largest T > 1 with
    frames > T * interval. `uniform` [len(buckets), N] in [0, 1) applies keep_prob (None: keep all);
    a clip that is not kept tries the next smaller bucket.
    """
    assigned = np.full(len(frames), TOO_FEW_FRAMES, dtype=np.int16)
    assigned[frames == 1] = NO_IMAGE_BUCKET
    first = 0
    for number, bucket in enumerate(sort_buckets(buckets)):
        large = is_large_enough(bucket, height, width)
        fits = is_long_enough(bucket, frames, interval)
        assigned[fits & ~large & (assigned < 0)] = TOO_FEW_PIXELS
        fits &= large & (assigned < 0)
        kept = fits if uniform is None else fits & (uniform[number] < bucket.keep_prob)
        assigned[fits] = NOT_SAMPLED
        assigned[kept] = first + _nearest_ratio(height[kept] / width[kept], bucket.resolution)
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
