"""Rules that assign clips to training buckets: resolution, number of frames, aspect ratio.

`aspect_ratios.json` holds Open-Sora's table: resolution -> ratio (height / width, as text) ->
[height, width] in pixels.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

MIN_PIXEL_FRACTION = 0.8  # of the resolution's nominal pixels


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


def is_long_enough(bucket: ClipBucket, frames: Any, interval: int) -> Any:
    """Compare numbers of frames, an int or an array; images fit into image buckets only."""
    return frames == 1 if bucket.frames == 1 else frames > bucket.frames * interval


def is_large_enough(bucket: ClipBucket, height: Any, width: Any) -> Any:
    """Compare sizes in pixels, ints or arrays: 80 % of the nominal pixels are enough."""
    return height * width >= MIN_PIXEL_FRACTION * nominal_pixels(bucket.resolution)
