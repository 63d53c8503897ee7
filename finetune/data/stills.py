"""Read still images as they are displayed: upright by their EXIF orientation, RGB."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brickfilm.schema.orientation import Orientation
from brickfilm.schema.pictures import open_picture


def read_rgb(file: Path | BytesIO) -> NDArray[np.uint8]:
    """Return an image as [H, W, 3]: upright, transparent parts white, 16 bits as 8.

    Raise OSError, ValueError or SyntaxError, as Pillow does, if it is not an image.
    """
    from PIL import ImageOps

    with open_picture(file) as opened:
        return np.array(_to_rgb(ImageOps.exif_transpose(opened)))


def image_orientation(image: bytes) -> Orientation:
    """Return how an image is displayed, by its EXIF."""
    with open_picture(BytesIO(image)) as opened:
        return Orientation.of_image(opened)


def _to_rgb(image: object) -> object:
    from PIL import Image

    assert isinstance(image, Image.Image)
    if image.mode.startswith("I"):  # 16 bits per pixel, which convert() would clip
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")
