"""Lengths of clips that a training can use, in frames of a video."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from brickfilm.schema.target_models import target_models
from brickfilm.schema.training_recipe import TrainingRecipe


@dataclass(frozen=True)
class TrainingLengths:
    """Lengths that a recipe or a model uses; a longer clip is cut to one of them."""

    frames: tuple[int, ...]
    """Rising, of at least one, at the rate `fps`."""
    fps: Fraction | int | None = None
    """Frames a second that the model plays; None if it takes a video's frames as they come."""
    spare_frames: int = 0
    """Frames over each length: decoders and containers disagree about the last one."""
    name: str = field(default="", compare=False)

    @classmethod
    def of(cls, name: str) -> TrainingLengths:
        """Return the lengths of a model (`wan2.1`), or of a recipe by its path or name.

        Raise UsageError for an unknown name, and for a recipe that uses images only.
        """
        if model := target_models().get(name):
            return cls(model.lengths, model.fps, 1, name)
        recipe = TrainingRecipe.from_name(name)
        fps = recipe.sampling.target_fps or None
        return cls(recipe.clip_lengths, fps, name=name)

    def at(self, fps: Fraction) -> tuple[int, ...]:
        """Return the lengths in frames of a video at `fps`, rising."""
        ratio = fps / self.fps if self.fps else Fraction(1)
        return tuple(math.ceil(n * ratio) + self.spare_frames for n in self.frames)

    def used(self, frames: int, fps: Fraction) -> int:
        """Return how many frames of a clip are used: its longest length that fits, or 0."""
        return max((n for n in self.at(fps) if n <= frames), default=0)


def seconds_used(
    lengths: TrainingLengths, clips: Sequence[tuple[int, Fraction]]
) -> tuple[int, float, float]:
    """Return the number of clips that are used, the seconds used of them, and those of all.

    clips: (frames, fps) of each.
    """
    used = [(lengths.used(frames, fps), fps) for frames, fps in clips]
    total = sum(float(frames / fps) for frames, fps in clips)
    return sum(n > 0 for n, _ in used), sum(float(n / fps) for n, fps in used), total


def describe_use(lengths: TrainingLengths, clips: Sequence[tuple[int, Fraction]]) -> str:
    """Return a sentence with the clips and seconds that a training can use."""
    count, used, total = seconds_used(lengths, clips)
    enough = f"{count} of {len(clips)} clips are long enough"
    return f"{lengths.name} can use {used:.1f} of {total:.1f} s: {enough}"
