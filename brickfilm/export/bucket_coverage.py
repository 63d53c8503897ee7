"""Count the clips that a training recipe would use, before any caption is paid for.

Applies the trainer's rules to a recipe's `buckets` and `frame_interval`.
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
from brickfilm.schema.buckets import (
    is_large_enough,
    is_long_enough,
    resolutions,
    sort_buckets,
)
from brickfilm.schema.recipes import find_recipe

TOO_FEW_PIXELS = "smaller than 80 % of the pixels"
NO_IMAGES = "an image, and the recipe has no image bucket"
NO_VIDEO = "a clip, and the recipe has image buckets only"


class ClipShape(NamedTuple):
    """Number of frames and size in pixels of a clip; an image has one frame."""

    frames: int
    height: int
    width: int


@dataclass(frozen=True)
class RecipeBucket:
    """Clips of one resolution and length that are trained on together."""

    resolution: str
    frames: int

    def __str__(self) -> str:
        return f"{self.resolution} x {self.frames}"


@dataclass(frozen=True)
class TrainingRecipe:
    """The settings of a training recipe that select clips."""

    name: str
    buckets: Sequence[RecipeBucket]
    frame_interval: int

    @classmethod
    def from_name(cls, path_or_name: str) -> TrainingRecipe:
        """Read a recipe by its path or its name."""
        return cls.from_file(find_recipe(path_or_name))

    @classmethod
    def from_file(cls, path: Path) -> TrainingRecipe:
        """Read `buckets` and `frame_interval` from a recipe's TOML; ignore its other keys."""
        try:
            recipe = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:  # no file; no text, or no TOML
            raise UsageError(f"the recipe {str(path)!r} cannot be read: {error}") from error
        entries, interval = recipe.get("buckets"), recipe.get("frame_interval", 1)
        if not entries or not isinstance(entries, list):
            raise UsageError(
                f"the recipe {str(path)!r} has no buckets: it needs a line like "
                'buckets = [{ resolution = "360p", frames = 32, batch_size = 8 }]'
            )
        if not _is_positive_int(interval):
            raise UsageError(f"the recipe {str(path)!r} has frame_interval = {interval}: 1 or more")
        return cls(path.stem, [_parse_bucket(path, entry) for entry in entries], interval)

    def bucket_for(self, size: ClipShape) -> RecipeBucket | str:
        """Return the bucket of a clip if no bucket drops clips, or the reason why it has none."""
        if size.frames == 1 and all(bucket.frames > 1 for bucket in self.buckets):
            return NO_IMAGES
        if size.frames > 1 and all(bucket.frames == 1 for bucket in self.buckets):
            return NO_VIDEO
        buckets = sort_buckets(self.buckets)
        long_enough = [b for b in buckets if is_long_enough(b, size.frames, self.frame_interval)]
        if not long_enough:
            return f"{self.min_frames - 1} frames or fewer"
        large = (b for b in long_enough if is_large_enough(b, size.height, size.width))
        return next(large, TOO_FEW_PIXELS)

    def describe_length(self, bucket: RecipeBucket) -> str:
        """Describe the required length of a bucket's clips."""
        return "images" if bucket.frames == 1 else f"> {bucket.frames * self.frame_interval} frames"

    @property
    def min_frames(self) -> int:
        """Return the number of frames of the shortest clip that any bucket takes."""
        return min(b.frames for b in self.buckets if b.frames > 1) * self.frame_interval + 1


@dataclass(frozen=True)
class RecipeCoverage:
    """Number of clips for each bucket, and of unused clips by reason."""

    recipe: TrainingRecipe
    total: int
    used: Counter[RecipeBucket]
    unused: Counter[str]

    @classmethod
    def from_sizes(cls, recipe: TrainingRecipe, sizes: Iterable[ClipShape]) -> RecipeCoverage:
        counts = Counter(recipe.bucket_for(size) for size in sizes)
        used = Counter({b: n for b, n in counts.items() if isinstance(b, RecipeBucket)})
        unused = Counter({reason: n for reason, n in counts.items() if isinstance(reason, str)})
        return cls(recipe, counts.total(), used, unused)

    def to_rows(self) -> list[tuple[str, str, int, float]]:
        """Return rows of (bucket or 'not used', requirement or reason, clips, fraction)."""
        buckets = sort_buckets(self.recipe.buckets)
        counts = [(str(b), self.recipe.describe_length(b), self.used[b]) for b in buckets]
        counts += [("not used", reason, n) for reason, n in self.unused.most_common()]
        return [(bucket, text, n, n / max(1, self.total)) for bucket, text, n in counts]


def dataset_clip_shapes(dataset: SavedDataset) -> Iterator[ClipShape]:
    """Yield the shapes of all clips and images of a dataset; an image has one frame."""
    columns = {"clips": ["num_frames", "height", "width"], "images": ["height", "width"]}
    for config in dataset.configs:
        for row in dataset.to_pandas(config, columns[config]).to_dict("records"):
            yield ClipShape(int(row.get("num_frames", 1)), row["height"], row["width"])


def _parse_bucket(path: Path, entry: object) -> RecipeBucket:
    bucket = entry if isinstance(entry, Mapping) else {}
    resolution, frames = bucket.get("resolution"), bucket.get("frames")
    if resolution not in resolutions() or not _is_positive_int(frames):
        raise UsageError(
            f"the recipe {str(path)!r} has a bucket {entry!r}: it needs frames, and a resolution "
            f"among {', '.join(resolutions())}"
        )
    return RecipeBucket(bucket["resolution"], bucket["frames"])


def _is_positive_int(value: object) -> bool:
    return isinstance(value, int) and value >= 1
