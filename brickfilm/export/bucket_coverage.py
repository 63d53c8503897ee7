"""How many clips a training recipe would use, before any caption is paid for.

The trainer's own rules for its batches, told again from a recipe's `buckets` and `frame_interval`:
this half of the house does not import the other.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from brickfilm.dataset.reader import SavedDataset
from brickfilm.errors import UsageError
from brickfilm.schema.recipes import find_recipe

NOMINAL_PIXELS = {
    "144p": 36_864,
    "240p": 102_240,
    "256": 65_536,
    "360p": 230_400,
    "480p": 409_920,
    "512": 262_144,
    "720p": 921_600,
    "1024": 1_048_576,
    "1080p": 2_073_600,
    "4k": 8_294_400,
}
"""Pixels of each resolution at 16:9, or square where it has no 16:9."""
MIN_PIXEL_FRACTION = 0.8
"""Share of the nominal pixels below which a clip is not used."""
TOO_FEW_PIXELS = "smaller than 80 % of the pixels"
NO_IMAGES = "an image, and the recipe has no image bucket"
NO_VIDEO = "a clip, and the recipe has image buckets only"


class ClipShape(NamedTuple):
    """What decides about a clip: an image is a clip of one frame."""

    frames: int
    height: int
    width: int


@dataclass(frozen=True)
class RecipeBucket:
    """Clips of one resolution and length that are trained on together."""

    resolution: str
    frames: int

    @property
    def pixels(self) -> int:
        return NOMINAL_PIXELS[self.resolution]

    def __str__(self) -> str:
        return f"{self.resolution} x {self.frames}"


@dataclass(frozen=True)
class TrainingRecipe:
    """What a recipe says about the clips it wants."""

    name: str
    buckets: Sequence[RecipeBucket]
    frame_interval: int

    @classmethod
    def from_name(cls, named: str) -> TrainingRecipe:
        """A recipe by its path or its name (`find_recipe`)."""
        return cls.from_file(find_recipe(named))

    @classmethod
    def from_file(cls, path: Path) -> TrainingRecipe:
        """From a recipe's TOML; its other keys are not our business."""
        try:
            told = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:  # no file; no text, or no TOML
            raise UsageError(f"the recipe {str(path)!r} cannot be read: {error}") from error
        entries, interval = told.get("buckets"), told.get("frame_interval", 1)
        if not entries or not isinstance(entries, list):
            raise UsageError(
                f"the recipe {str(path)!r} has no buckets: it wants a line like "
                'buckets = [{ resolution = "360p", frames = 32, batch_size = 8 }]'
            )
        if not _is_positive_int(interval):
            raise UsageError(f"the recipe {str(path)!r} has frame_interval = {interval}: 1 or more")
        return cls(path.stem, [_parse_bucket(path, entry) for entry in entries], interval)

    def bucket_for(self, size: ClipShape) -> RecipeBucket | str:
        """The bucket that a clip falls into when all are kept, or why there is none."""
        if size.frames == 1 and all(bucket.frames > 1 for bucket in self.buckets):
            return NO_IMAGES
        if size.frames > 1 and all(bucket.frames == 1 for bucket in self.buckets):
            return NO_VIDEO
        fitting = [b for b in self.buckets if self._is_long_enough(size, b)]
        if not fitting:
            return f"{self.min_frames - 1} frames or fewer"
        big = [b for b in fitting if size.height * size.width >= MIN_PIXEL_FRACTION * b.pixels]
        return max(big, key=lambda b: (b.pixels, b.frames)) if big else TOO_FEW_PIXELS

    def describe_length(self, bucket: RecipeBucket) -> str:
        """The lengths a bucket takes, in words."""
        return "images" if bucket.frames == 1 else f"> {bucket.frames * self.frame_interval} frames"

    @property
    def min_frames(self) -> int:
        """Frames of the shortest clip that any bucket takes."""
        return min(b.frames for b in self.buckets if b.frames > 1) * self.frame_interval + 1

    def _is_long_enough(self, size: ClipShape, bucket: RecipeBucket) -> bool:
        if size.frames == 1 or bucket.frames == 1:
            return size.frames == bucket.frames
        return size.frames > bucket.frames * self.frame_interval


@dataclass(frozen=True)
class RecipeCoverage:
    """How many clips each bucket would get, and why the others fall out."""

    recipe: TrainingRecipe
    total: int
    used: Counter[RecipeBucket]
    unused: Counter[str]

    @classmethod
    def from_sizes(cls, recipe: TrainingRecipe, sizes: Iterable[ClipShape]) -> RecipeCoverage:
        fates = Counter(recipe.bucket_for(size) for size in sizes)
        used = Counter({fate: n for fate, n in fates.items() if isinstance(fate, RecipeBucket)})
        unused = Counter({fate: n for fate, n in fates.items() if isinstance(fate, str)})
        return cls(recipe, sum(fates.values()), used, unused)

    def to_rows(self) -> list[tuple[str, str, int, float]]:
        """(bucket or 'not used', needs or why, clips, share of all), the order of trying."""
        ordered = sorted(self.recipe.buckets, key=lambda b: (-b.pixels, -b.frames))
        counts = [(str(b), self.recipe.describe_length(b), self.used[b]) for b in ordered]
        counts += [("not used", why, n) for why, n in self.unused.most_common()]
        return [(where, what, n, n / max(1, self.total)) for where, what, n in counts]


def dataset_clip_shapes(dataset: SavedDataset) -> Iterator[ClipShape]:
    """Yield the shapes of all clips and images of a dataset; an image has one frame."""
    columns = {"clips": ["num_frames", "height", "width"], "images": ["height", "width"]}
    for config in dataset.configs:
        for row in dataset.to_pandas(config, columns[config]).to_dict("records"):
            yield ClipShape(int(row.get("num_frames", 1)), row["height"], row["width"])


def _parse_bucket(path: Path, entry: object) -> RecipeBucket:
    told = entry if isinstance(entry, Mapping) else {}
    if told.get("resolution") not in list(NOMINAL_PIXELS) or not _is_positive_int(
        told.get("frames")
    ):
        raise UsageError(
            f"the recipe {str(path)!r} has a bucket {entry!r}: it needs frames, and a resolution "
            f"among {', '.join(NOMINAL_PIXELS)}"
        )
    return RecipeBucket(told["resolution"], told["frames"])


def _is_positive_int(value: object) -> bool:
    """Whether it is a whole number from 1 on."""
    return isinstance(value, int) and value >= 1
