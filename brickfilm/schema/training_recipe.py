"""The settings of a training recipe that select clips: `buckets` and `frame_interval`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from brickfilm.errors import UsageError
from brickfilm.schema.buckets import DROP_REASONS, assign_to_buckets, resolutions, sort_buckets
from brickfilm.schema.recipes import find_recipe


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

    def assign(self, shapes: Sequence[ClipShape]) -> list[RecipeBucket | str]:
        """Return the bucket of each clip, as if every bucket kept all, or why it has none."""
        import numpy as np

        frames, height, width = np.array(shapes, dtype=np.int64).reshape(-1, 3).T
        interval = self.frame_interval
        numbers = assign_to_buckets(frames, height, width, self.buckets, interval=interval)
        ordered = sort_buckets(self.buckets)
        return [ordered[n] if n >= 0 else DROP_REASONS[n] for n in numbers.tolist()]

    def describe_length(self, bucket: RecipeBucket) -> str:
        """Describe the required length of a bucket's clips."""
        return "images" if bucket.frames == 1 else f"> {bucket.frames * self.frame_interval} frames"

    @property
    def clip_lengths(self) -> tuple[int, ...]:
        """Return the least number of frames for each bucket of clips, rising.

        Raise UsageError if all buckets are for images.
        """
        frames = sorted({bucket.frames for bucket in self.buckets} - {1})
        if not frames:
            raise UsageError(f"the recipe {self.name!r} has image buckets only: it uses no clips")
        return tuple(n * self.frame_interval + 1 for n in frames)


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
