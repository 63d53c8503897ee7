"""Which batch a clip belongs to: resolution x frames x aspect ratio, as pure functions.

The table of sizes is Open-Sora's; it stands as data in `aspect_ratios.json`: resolution -> ratio
(height / width, as text) -> [height, width] in pixels.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from finetune.config import Bucket

MIN_PIXEL_FRACTION = 0.8  # of the resolution's nominal pixels; below it a clip is rejected
AspectRatioTable = dict[str, dict[str, tuple[int, int]]]


@cache
def aspect_ratios() -> AspectRatioTable:
    """Resolution -> ratio -> (height, width) in pixels."""
    text = (Path(__file__).parent / "aspect_ratios.json").read_text()
    return {
        name: {ratio: (int(size[0]), int(size[1])) for ratio, size in sizes.items()}
        for name, sizes in json.loads(text).items()
    }


def nominal_pixels(resolution: str) -> int:
    """Pixels of the resolution's own shape: 16:9 where it has one (360p: 230,400), else square."""
    table = aspect_ratios()[resolution]
    height, width = table.get("0.56") or table.get("1.0") or table["1.00"]
    return height * width


@dataclass(frozen=True)
class AspectBucket:
    """A bucket at one aspect ratio: all clips of a batch share it."""

    bucket: Bucket
    ratio: str  # height / width, the table's key

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return aspect_ratios()[self.bucket.resolution][self.ratio]

    @property
    def name(self) -> str:
        return f"{self.bucket.resolution} x {self.bucket.frames} @ {self.ratio}"


def aspect_buckets(buckets: Sequence[Bucket]) -> tuple[AspectBucket, ...]:
    """Every slot, in the order in which clips try them: most pixels first, then most frames."""
    ordered = sorted(buckets, key=lambda b: (-nominal_pixels(b.resolution), -b.frames))
    return tuple(AspectBucket(b, ratio) for b in ordered for ratio in aspect_ratios()[b.resolution])


# Why a clip has no slot, beside slot numbers from 0.
TOO_FEW_PIXELS, TOO_FEW_FRAMES, NO_IMAGE_BUCKET, NOT_SAMPLED = -1, -2, -3, -4
DROP_REASONS = {
    TOO_FEW_PIXELS: "under 80 % of the bucket's pixels",
    TOO_FEW_FRAMES: "too short for every bucket",
    NO_IMAGE_BUCKET: "an image, and no image bucket",
    NOT_SAMPLED: "not kept (keep_prob < 1)",
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
    """The slot of each clip (an index into `slots(buckets)`), or a negative reason.

    A clip of one frame goes to an image bucket only, others to the largest T > 1 with
    frames > T * interval. `uniform` [len(buckets), N] in [0, 1) decides about keep_prob < 1 (none:
    keep all); a clip that is not kept tries the next smaller bucket.
    """
    every_aspect_bucket = aspect_buckets(buckets)
    found = np.full(len(frames), TOO_FEW_FRAMES, dtype=np.int16)
    found[frames == 1] = NO_IMAGE_BUCKET
    first = 0
    for number, bucket in enumerate(
        dict.fromkeys(aspect_bucket.bucket for aspect_bucket in every_aspect_bucket)
    ):
        big = height * width >= MIN_PIXEL_FRACTION * nominal_pixels(bucket.resolution)
        fits = frames == 1 if bucket.frames == 1 else frames > bucket.frames * interval
        fits &= (frames == 1) == (bucket.frames == 1)
        found[fits & ~big & (found < 0)] = TOO_FEW_PIXELS
        fits &= big & (found < 0)
        kept = fits if uniform is None else fits & (uniform[number] < bucket.keep_prob)
        found[fits] = NOT_SAMPLED
        found[kept] = first + _nearest_ratio(height[kept] / width[kept], bucket.resolution)
        first += len(aspect_ratios()[bucket.resolution])
    return found


def _nearest_ratio(ratio: NDArray[np.float64], resolution: str) -> NDArray[np.int16]:
    """Index of the table's ratio nearest to each; the first of equals."""
    best = np.zeros(len(ratio), dtype=np.int16)
    distance = np.full(len(ratio), np.inf)
    for number, key in enumerate(aspect_ratios()[resolution]):
        here = np.abs(ratio - float(key))
        nearer = here < distance
        best[nearer], distance[nearer] = number, here[nearer]
    return best
