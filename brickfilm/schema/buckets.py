"""Rules that assign clips to training buckets: resolution, number of frames, aspect ratio.

`finetune` and `brickfilm --for RECIPE` count clips by `assign_to_buckets`.

`aspect_ratios.json` holds Open-Sora's table: resolution -> ratio (height / width, as text) ->
[height, width] in pixels.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from brickfilm.schema.frame_sampling import NOT_MEASURED, FrameSampling

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MIN_PIXEL_FRACTION = 0.8  # of the resolution's nominal pixels
# Reasons for having no bucket, beside the numbers of buckets from 0.
TOO_FEW_PIXELS, TOO_FEW_FRAMES, NO_IMAGE_BUCKET, NOT_SAMPLED = range(-1, -5, -1)
NO_CLIP_BUCKET, NO_DRAWINGS = -5, -6
DROP_REASONS = {
    TOO_FEW_PIXELS: "under 80 % of the bucket's pixels",
    TOO_FEW_FRAMES: "too short for every bucket",
    NO_IMAGE_BUCKET: "an image, and no image bucket",
    NOT_SAMPLED: "not sampled (keep_prob < 1)",
    NO_CLIP_BUCKET: "a clip, and image buckets only",
    NO_DRAWINGS: "its drawings were not measured (sampling = 'pose')",
}
NO_CAPTION = "no caption"
"""The reason of rows that are not used whatever their size."""


class ClipBucket(Protocol):
    """A bucket, as these rules see it."""

    @property
    def resolution(self) -> str: ...
    @property
    def frames(self) -> int: ...


B = TypeVar("B", bound=ClipBucket)


@cache
def aspect_ratios() -> dict[str, dict[str, tuple[int, int]]]:
    """Return resolution -> ratio -> (height, width) in pixels."""
    table = json.loads(Path(__file__).with_name("aspect_ratios.json").read_text())
    return {
        name: {ratio: (int(size[0]), int(size[1])) for ratio, size in sizes.items()}
        for name, sizes in table.items()
    }


@cache
def nominal_pixels(resolution: str) -> int:
    """Return the pixels of a resolution at 16:9 (360p: 230,400), or square if it has no 16:9."""
    table = aspect_ratios()[resolution]
    height, width = table.get("0.56") or table.get("1.0") or table["1.00"]
    return height * width


@cache
def resolutions() -> tuple[str, ...]:
    """Return the names of all resolutions, the smallest first."""
    return tuple(sorted(aspect_ratios(), key=nominal_pixels))


def sort_buckets(buckets: Iterable[B]) -> list[B]:
    """Sort buckets in the order in which clips try them: most pixels first, then most frames."""
    return sorted(buckets, key=lambda b: (-nominal_pixels(b.resolution), -b.frames))


def assign_to_buckets(
    frames: NDArray[np.int64],
    height: NDArray[np.int64],
    width: NDArray[np.int64],
    buckets: Sequence[ClipBucket],
    *,
    sampling: FrameSampling,
    kept: NDArray[np.bool_] | None = None,
) -> NDArray[np.int16]:
    """Return for each clip an index into `sort_buckets(buckets)`, or a key of `DROP_REASONS`.

    frames: seen of each clip (`FrameSampling.count`). An image goes to an image bucket only, others
    to the largest T > 1 for which it is long enough. Where `kept` [len(buckets), N] is False, the
    next smaller bucket is tried.
    """
    import numpy as np

    only_images = all(bucket.frames == 1 for bucket in buckets)
    too_short = NO_CLIP_BUCKET if only_images else TOO_FEW_FRAMES
    assigned = np.where(frames == 1, NO_IMAGE_BUCKET, too_short).astype(np.int16)
    assigned[frames == NOT_MEASURED] = NO_DRAWINGS
    for number, bucket in enumerate(sort_buckets(buckets)):
        large = is_large_enough(bucket, height, width)
        fits = is_long_enough(bucket, frames, sampling) & (assigned < 0)
        assigned[fits & ~large] = TOO_FEW_PIXELS
        fits &= large
        assigned[fits] = NOT_SAMPLED
        assigned[fits if kept is None else fits & kept[number]] = number
    return assigned


def is_long_enough(bucket: ClipBucket, frames: Any, sampling: FrameSampling) -> Any:
    """Compare numbers of frames, an int or an array; images fit into image buckets only."""
    return frames == 1 if bucket.frames == 1 else frames >= sampling.needed(bucket.frames)


def is_large_enough(bucket: ClipBucket, height: Any, width: Any) -> Any:
    """Compare sizes in pixels, ints or arrays: 80 % of the nominal pixels are enough."""
    return height * width >= MIN_PIXEL_FRACTION * nominal_pixels(bucket.resolution)
