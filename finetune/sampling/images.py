"""Read conditioning images of any size and mode."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import Tensor

from finetune.data.stills import read_rgb
from finetune.data.windows import resize_and_crop
from finetune.errors import SamplingError
from finetune.models import Family
from finetune.sampling.request import SampleRequest


def read_image(path: str | Path, height: int, width: int) -> Tensor:
    """Read an image as [1, 3, height, width] in [-1, 1]: upright, RGB, scaled and cropped.

    Transparent parts become white; 16 bits become 8. Raise SamplingError if it is not an image.
    """
    from PIL import UnidentifiedImageError

    try:
        pixels = read_rgb(Path(path))
    except UnidentifiedImageError as error:
        raise SamplingError(
            f"image {str(path)!r} cannot be read as an image: name a PNG, JPEG or WebP file"
        ) from error
    except (OSError, ValueError, SyntaxError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SamplingError(
            f"image {str(path)!r} cannot be read ({reason}): name a PNG, JPEG or WebP file"
        ) from error
    return resize_and_crop(torch.from_numpy(pixels).permute(2, 0, 1)[None], height, width)


def read_images(request: SampleRequest, family: Family, device: torch.device) -> dict[int, Tensor]:
    """Read the images that a request starts or ends with, by latent frame number."""
    size = request.height, request.width
    _, frames, *_ = family.latent_shape(request.frames, *size)
    files = ((0, request.image), (frames - 1, request.last_image))
    return {n: read_image(file, *size).to(device) for n, file in files if file is not None}


def file_digest(path: str | Path) -> str:
    """Return sha256 of a file's bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
