"""The model that an export is for, and the lengths and size at which it will be trained."""

from __future__ import annotations

import math
from dataclasses import dataclass

from brickfilm.errors import UsageError
from brickfilm.schema.target_models import TargetModel, find_model


@dataclass(frozen=True)
class Target:
    """A model, and the lengths and size at which it will be trained."""

    model: TargetModel
    lengths: tuple[int, ...]
    """On the model's grid, rising. Trainers with one length take `frames`."""
    frames: int
    width: int
    height: int

    @classmethod
    def of(
        cls, model: str, *, frames: int | None = None, size: tuple[int, int] | None = None
    ) -> Target:
        """Return the target for a model's name; `frames` and `size` replace the usual ones.

        Raise UsageError for an unknown model, and for a length or size that is off its grid.
        """
        spec = find_model(model)
        width, height = size or (spec.width, spec.height)
        _check_frames(spec, frames)
        _check_size(spec, width, height)
        lengths = spec.lengths if frames is None else (frames,)
        return cls(spec, lengths, frames or spec.frames, width, height)

    def longest(self, frames: int) -> int | None:
        """Return the longest of `lengths` that a clip fills, or None."""
        return max((n for n in self.lengths if n <= frames), default=None)

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """Return (width, height) as asked for, and turned for upright clips."""
        return tuple(dict.fromkeys(((self.width, self.height), (self.height, self.width))))

    def nearest_size(self, width: int, height: int) -> tuple[int, int]:
        """Return the (width, height) among `sizes` whose aspect is nearest, in logarithms."""
        aspect = math.log(width / height)
        return min(self.sizes, key=lambda size: abs(aspect - math.log(size[0] / size[1])))

    @property
    def square_side(self) -> int:
        """Return the side of the square of the same area, rounded down, in pixels."""
        return math.isqrt(self.width * self.height)


def _check_frames(model: TargetModel, frames: int | None) -> None:
    if frames is None or (frames > 1 and model.round_down(frames) == frames):
        return
    below = max(model.round_down(frames), model.step + 1)
    raise UsageError(
        f"--frames {frames} is not on the grid of {model.name}, {model.step}n+1: "
        f"take {below} or {below + model.step}"
    )


def _check_size(model: TargetModel, width: int, height: int) -> None:
    near = [max(1, round(side / model.multiple)) * model.multiple for side in (width, height)]
    if near != [width, height]:
        raise UsageError(
            f"--size {width}x{height}: {model.name} takes multiples of {model.multiple} pixels: "
            f"take {near[0]}x{near[1]}"
        )
