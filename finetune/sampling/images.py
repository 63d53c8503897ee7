"""A picture to start from, of any size and mode."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from finetune.data.windows import resize_and_crop
from finetune.errors import SamplingError


def read_image(path: str | Path, height: int, width: int) -> Tensor:
    """A picture [1, 3, height, width] in [-1, 1]: turned upright, made RGB, scaled and cropped.

    Transparent parts become white, sixteen bits eight. Raises SamplingError for what is no picture.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as opened:
            picture = ImageOps.exif_transpose(opened)
            pixels = np.array(_to_rgb(picture))
    except UnidentifiedImageError as error:
        raise SamplingError(
            f"image {str(path)!r} cannot be read as a picture: name a PNG, JPEG or WebP file"
        ) from error
    except (OSError, ValueError, SyntaxError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SamplingError(
            f"image {str(path)!r} cannot be read ({reason}): name a PNG, JPEG or WebP file"
        ) from error
    return resize_and_crop(torch.from_numpy(pixels).permute(2, 0, 1)[None], height, width)


def _to_rgb(picture: object) -> object:
    from PIL import Image

    assert isinstance(picture, Image.Image)
    if picture.mode.startswith("I"):  # sixteen bits a pixel, which convert() would clip
        return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8)).convert("RGB")
    if picture.has_transparency_data:
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB")
    return picture.convert("RGB")


def file_digest(path: str | Path) -> str:
    """sha256 of a file's bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
