"""Bounds of a visitor's request, enforced on the server: a page's sliders bind nobody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from brickfilm.schema.pictures import open_picture
from brickfilm.schema.safe_paths import UnsafePathError, file_inside
from finetune.config import DEFAULT_PROMPTS
from finetune.errors import SamplingError
from finetune.sampling.pipeline import TextToVideoPipeline

MAX_FRAMES, MAX_SIDE, MAX_STEPS, MAX_GUIDANCE = 64, 720, 250, 15
"""Largest values of the sliders, unless the model's defaults are larger."""
MAX_SEED = 2**63 - 1
MAX_PROMPT_LENGTH = 2_000
MAX_UPLOAD_BYTES = 20 << 20
MAX_UPLOAD_PIXELS = 40_000_000


@dataclass(frozen=True)
class DemoLimits:
    """Smallest and largest value of each number that a visitor may send."""

    ranges: Mapping[str, tuple[float, float]]

    @classmethod
    def of(cls, pipeline: TextToVideoPipeline) -> DemoLimits:
        """Return the bounds for a model: its grid, and at least its defaults."""
        default = pipeline.request(prompt=DEFAULT_PROMPTS[0])
        grid, objective = pipeline.generator.family.grid, pipeline.generator.objective
        max_side = max(MAX_SIDE, default.height, default.width)
        return cls(
            {
                "frames": (
                    grid.frame_offset,
                    grid.nearest_frames(max(MAX_FRAMES, default.frames)),
                ),
                "height": (grid.min_side, max_side),
                "width": (grid.min_side, max_side),
                "steps": (objective.min_steps, max(MAX_STEPS, default.steps)),
                "guidance": (0, max(MAX_GUIDANCE, default.guidance)),
                "seed": (0, MAX_SEED),
            }
        )

    def number(self, name: str, value: object) -> float | None:
        """Return a number within its bounds, None for an empty field; raise SamplingError."""
        if value is None:
            return None
        low, high = self.ranges[name]
        if (
            not isinstance(value, int | float)
            or isinstance(value, bool)
            or not low <= value <= high
        ):
            raise SamplingError(f"{name} {str(value)[:40]!r}: choose from {low:g} to {high:g}")
        return value

    def integer(self, name: str, value: object) -> int | None:
        """Return a whole number within its bounds, None for an empty field."""
        number = self.number(name, value)
        return None if number is None else int(number)


def check_prompt(prompt: object) -> str:
    """Return the prompt; raise SamplingError if it is no text, or too long."""
    if not isinstance(prompt, str):
        raise SamplingError("the prompt is not text: describe the video")
    if len(prompt) > MAX_PROMPT_LENGTH:
        raise SamplingError(
            f"the prompt has {len(prompt):,} characters: write at most {MAX_PROMPT_LENGTH:,}"
        )
    return prompt


def uploaded_file(image: object, uploads: Path) -> Path | None:
    """Return the file of an uploaded image, None without one.

    image: what the page sends, or anybody else. A file counts as the visitor's own if it lies in
    the folder of uploads: Gradio names each after the digest of its content, which nobody knows
    who has not got the content. Raise SamplingError for any other file, and for one too large.
    """
    if not image:
        return None
    path = image.get("path") if isinstance(image, Mapping) else None
    if not isinstance(path, str):
        raise SamplingError("the image is not an upload: choose a file on the page")
    try:
        file = file_inside(uploads, path)
        if file.stat().st_size > MAX_UPLOAD_BYTES:
            raise SamplingError(f"the image is too large: at most {MAX_UPLOAD_BYTES >> 20} MB")
        with open_picture(file) as picture:
            pixels = picture.width * picture.height
    except (UnsafePathError, FileNotFoundError):
        raise SamplingError("the image is not an upload: choose a file on the page") from None
    except (OSError, ValueError, SyntaxError) as error:
        raise SamplingError(
            f"image {Path(path).name[:80]!r} cannot be read as an image: choose a PNG, JPEG or "
            "WebP file"
        ) from error
    if pixels > MAX_UPLOAD_PIXELS:
        raise SamplingError(f"the image has {pixels:,} pixels: at most {MAX_UPLOAD_PIXELS:,}")
    return file
