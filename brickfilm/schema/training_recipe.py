"""The settings of a training recipe that select clips: `buckets` and how frames are taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple, get_args

from brickfilm.errors import UsageError
from brickfilm.schema.buckets import DROP_REASONS, assign_to_buckets, resolutions, sort_buckets
from brickfilm.schema.frame_sampling import FrameSampling, SamplingKind
from brickfilm.schema.recipes import find_recipe, read_recipe

EVERY_FRAME = FrameSampling()


class ClipShape(NamedTuple):
    """Number of frames and size in pixels of a clip; an image has one frame."""

    frames: int
    height: int
    width: int
    fps: Fraction = Fraction(0)
    drawings: int = 0
    """Number of drawings, 0 if they were not measured."""


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
    sampling: FrameSampling = EVERY_FRAME

    @classmethod
    def from_name(cls, path_or_name: str) -> TrainingRecipe:
        """Read a recipe by its path or its name."""
        return cls.from_file(find_recipe(path_or_name))

    @classmethod
    def from_file(cls, path: Path) -> TrainingRecipe:
        """Read the settings from a recipe's TOML; ignore its other keys."""
        recipe = read_recipe(path)
        entries = recipe.get("buckets")
        if not entries or not isinstance(entries, list):
            raise UsageError(
                f"the recipe {str(path)!r} has no buckets: it needs a line like "
                'buckets = [{ resolution = "360p", frames = 32, batch_size = 8 }]'
            )
        buckets = [_parse_bucket(path, entry) for entry in entries]
        return cls(path.stem, buckets, _parse_sampling(path, recipe))

    def assign(self, shapes: Sequence[ClipShape]) -> list[RecipeBucket | str]:
        """Return the bucket of each clip, as if every bucket kept all, or why it has none."""
        import numpy as np

        values = [(*s[:3], *s.fps.as_integer_ratio(), s.drawings) for s in shapes]
        frames, height, width, *fps, drawings = np.array(values, np.int64).reshape(-1, 6).T
        seen = self.sampling.count(frames, (fps[0], fps[1]), drawings)
        numbers = assign_to_buckets(seen, height, width, self.buckets, sampling=self.sampling)
        ordered = sort_buckets(self.buckets)
        return [ordered[n] if n >= 0 else DROP_REASONS[n] for n in numbers.tolist()]

    def describe_length(self, bucket: RecipeBucket) -> str:
        """Describe the required length of a bucket's clips."""
        return "images" if bucket.frames == 1 else self.sampling.describe_needed(bucket.frames)

    @property
    def clip_lengths(self) -> tuple[int, ...]:
        """Return the least number of frames seen for each bucket of clips, rising.

        Raise UsageError if all buckets are for images, and for a recipe that counts drawings.
        """
        frames = sorted({bucket.frames for bucket in self.buckets} - {1})
        if not frames:
            raise UsageError(f"the recipe {self.name!r} has image buckets only: it uses no clips")
        if self.sampling.kind == "pose":
            raise UsageError(
                f"the recipe {self.name!r} counts drawings (sampling = 'pose'): build without "
                "--for, then count its clips by brickfilm export DATASET --for RECIPE"
            )
        return tuple(self.sampling.needed(n) for n in frames)


def _parse_bucket(path: Path, entry: object) -> RecipeBucket:
    bucket = entry if isinstance(entry, Mapping) else {}
    resolution, frames = bucket.get("resolution"), bucket.get("frames")
    if resolution not in resolutions() or not _is_positive_int(frames):
        raise UsageError(
            f"the recipe {str(path)!r} has a bucket {entry!r}: it needs frames, and a resolution "
            f"among {', '.join(resolutions())}"
        )
    return RecipeBucket(bucket["resolution"], bucket["frames"])


def _parse_sampling(path: Path, recipe: Mapping[str, Any]) -> FrameSampling:
    kind, interval = recipe.get("sampling", "interval"), recipe.get("frame_interval", 1)
    fps = recipe.get("target_fps", 0)
    if not _is_positive_int(interval):
        raise UsageError(f"the recipe {str(path)!r} has frame_interval = {interval}: 1 or more")
    is_rate = isinstance(fps, int | float) and (fps > 0) == (kind == "time")
    if kind not in get_args(SamplingKind) or not is_rate:
        raise UsageError(
            f"the recipe {str(path)!r} has sampling = {kind!r} and target_fps = {fps!r}: choose "
            f"{', '.join(get_args(SamplingKind))}, and a target_fps for 'time' alone"
        )
    return FrameSampling(kind, interval, Fraction(fps).limit_denominator(1001))


def _is_positive_int(value: object) -> bool:
    return isinstance(value, int) and value >= 1
