"""The settings of one sample, and their limits."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from finetune.errors import SamplingError
from finetune.models.family import Family
from finetune.objectives.base import Objective


@dataclass(frozen=True, kw_only=True)
class SampleRequest:
    """One video, or (frames = 1) one image; the same request gives the same pixels."""

    prompt: str
    frames: int = 32
    height: int = 360  # pixels
    width: int = 640
    fps: float = 8.0  # input of the network, and rate of the written file
    steps: int = 100
    guidance: float = 7.0  # 0: the text is ignored; 1: no guidance
    seed: int = 42
    image: str | None = None  # file of the first frame
    last_image: str | None = None  # file of the last frame

    def __post_init__(self) -> None:
        check_prompt(self.prompt)
        if not 0 < self.fps <= 240:
            raise SamplingError(f"fps {self.fps:g}: choose above 0 and up to 240")
        if not math.isfinite(self.guidance):
            raise SamplingError(f"guidance {self.guidance}: choose a number, 7 is usual")
        if not 0 <= self.seed < 2**63:
            raise SamplingError(f"seed {self.seed}: choose from 0 to {2**63 - 1}")

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Build from a mapping of a file or form; None stands for the default."""
        names = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(fields) - names)
        if unknown:
            raise SamplingError(
                f"no setting {unknown[0]!r} of a sample: choose from {', '.join(sorted(names))}"
            )
        if not isinstance(fields.get("prompt"), str):
            raise SamplingError(f"prompt {fields.get('prompt')!r} is not text: write it in quotes")
        given = {name: value for name, value in fields.items() if value is not None}
        _check_types(given)
        return cls(**given)

    def as_dict(self) -> dict[str, Any]:
        """Return all fields: the record in a sidecar."""
        return dataclasses.asdict(self)


FIELD_TYPES: Mapping[str, tuple[tuple[type, ...], str]] = {
    **dict.fromkeys(("frames", "height", "width", "steps", "seed"), ((int,), "a whole number")),
    **dict.fromkeys(("fps", "guidance"), ((int, float), "a number")),
    **dict.fromkeys(("image", "last_image"), ((str,), "the name of a file")),
}


def _check_types(fields: Mapping[str, Any]) -> None:
    """Check types of untyped input; a bool is not a number here."""
    for name, (types, description) in FIELD_TYPES.items():
        value = fields.get(name)
        if value is not None and (not isinstance(value, types) or isinstance(value, bool)):
            raise SamplingError(f"{name} {value!r}: write {description}")


def check_prompt(prompt: object) -> None:
    """Raise SamplingError unless the prompt is text with letters or digits."""
    if not isinstance(prompt, str):
        raise SamplingError(f"prompt {prompt!r} is not text: describe the video")
    if not prompt.strip():
        raise SamplingError("the prompt is empty: describe the video")
    unprintable = [c for c in prompt if not (c.isprintable() or c.isspace()) or c == "\ufffd"]
    if unprintable or not any(c.isalnum() for c in prompt):
        raise SamplingError(f"prompt {prompt[:40]!r} is not text: describe the video in words")


def parse_size(text: str) -> tuple[int, int]:
    """Parse '360x640' as height and width in pixels."""
    parts = text.lower().replace("×", "x").split("x")
    if len(parts) != 2 or not all(part.strip().isdecimal() for part in parts):
        raise SamplingError(f"size {text!r}: write height x width in pixels, such as 360x640")
    return int(parts[0]), int(parts[1])


def check_request(request: SampleRequest, family: Family, objective: Objective) -> None:
    """Raise SamplingError for a request off the family's grid, or that it cannot start from."""
    family.check_sampling(request.guidance)
    _check_frames(request, family)
    _check_size(request, family)
    if not objective.min_steps <= request.steps <= objective.max_steps:
        raise SamplingError(
            f"steps {request.steps}: choose from {objective.min_steps} to {objective.max_steps}"
        )


def _check_frames(request: SampleRequest, family: Family) -> None:
    nearest = family.grid.nearest_frames(request.frames)
    if request.frames != nearest:
        raise SamplingError(
            f"{request.frames} frames cannot be sampled: the nearest number is {nearest}"
        )
    images = [name for name in ("image", "last_image") if getattr(request, name) is not None]
    for name in images:
        if name not in family.start_images:
            raise SamplingError(f"{name}: a model of family {family.name!r} does not take one")
    if family.needs_image and request.image is None:
        raise SamplingError(
            f"family {family.name!r} animates a first frame: name its file with --image, or in "
            "validation.images for the samples of a training"
        )
    if images and request.frames <= len(images):
        raise SamplingError(
            f"{request.frames} frames and {len(images)} of them given: request at least "
            f"{len(images) + 1}, so that one is sampled"
        )


def _check_size(request: SampleRequest, family: Family) -> None:
    grid, size = family.grid, (request.height, request.width)
    height, width = (grid.nearest_side(side) for side in size)
    if size != (height, width):
        raise SamplingError(
            f"{request.height}x{request.width} (height x width): choose multiples of "
            f"{grid.pixel_multiple} from {grid.min_side} to {grid.max_side}; the nearest is "
            f"{height}x{width}: --size {height}x{width}, or height and width of these numbers"
        )
