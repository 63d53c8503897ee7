"""Read the pixels of a still: upright, 8-bit RGB."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from brickfilm.errors import MediaError
from brickfilm.media.container import media_errors
from brickfilm.schema.orientation import Orientation

MAX_16_BIT = 65535


def display_size(file: Path) -> tuple[int, int]:
    """Return the upright width and height of a still, from its header."""
    with media_errors(f"{file.name!r} is no still that can be read"), Image.open(file) as image:
        is_upright = image.format == "TIFF"  # Pillow turns TIFF
        is_turned = not is_upright and Orientation.of_image(image).transposed
        return image.size[::-1] if is_turned else image.size


def read_rgb(file: Path) -> NDArray[np.uint8]:
    """Return a still's pixels, [H, W, 3]. 16-bit values are rounded to the nearest 8-bit ones."""
    with Image.open(file) as image:
        if _is_16_bit(image):
            return np.ascontiguousarray(Orientation.of_image(image).apply(_read_16_bit(file)))
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def _is_16_bit(image: Image.Image) -> bool:
    """Return True for 16 bits a channel, of which Pillow drops the lower eight."""
    return "16" in str(image.tile[0].args)  # type: ignore[attr-defined]


def _read_16_bit(file: Path) -> NDArray[np.uint8]:
    """Return a still's stored pixels, [H, W, 3], without alpha."""
    import cv2

    flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(np.fromfile(file, np.uint8), flags)
    if pixels is None:
        raise MediaError(f"{file.name!r} has 16-bit pixels that cannot be read: save it as PNG")
    grey_or_bgr = pixels[..., None] if pixels.ndim == 2 else pixels[..., 2::-1]
    rounded = (grey_or_bgr.astype(np.uint32) * 255 + MAX_16_BIT // 2) // MAX_16_BIT
    return np.broadcast_to(rounded.astype(np.uint8), (*pixels.shape[:2], 3))
