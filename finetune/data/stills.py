"""Read still images as they are displayed: upright by their EXIF orientation, RGB."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brickfilm.schema.pictures import open_picture

EXIF_ORIENTATION = 0x0112
ORIENTATION_BY_ROTATION = {0: 1, 90: 8, 180: 3, 270: 6}
"""EXIF orientations by the angle of a display matrix in degrees, counter-clockwise."""


def read_rgb(file: Path | BytesIO) -> NDArray[np.uint8]:
    """Return an image as [H, W, 3]: upright, transparent parts white, 16 bits as 8.

    Raise OSError, ValueError or SyntaxError, as Pillow does, if it is not an image.
    """
    from PIL import ImageOps

    with open_picture(file) as opened:
        return np.array(_to_rgb(ImageOps.exif_transpose(opened)))


def exif_orientation(image: bytes) -> int:
    """Return an image's EXIF orientation, 1 to 8; 1 (upright) without one."""
    with open_picture(BytesIO(image)) as opened:
        return int(opened.getexif().get(EXIF_ORIENTATION, 1))


def turn_upright(image: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Return a stored image [H, W, 3] as it is displayed, by its EXIF orientation."""
    if orientation in (2, 4, 5, 7):  # mirrored; the others are rotations
        image = image[:, ::-1]
    quarter_turns = {3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}.get(orientation, 0)
    return np.rot90(image, quarter_turns) if quarter_turns else image


def _to_rgb(image: object) -> object:
    from PIL import Image

    assert isinstance(image, Image.Image)
    if image.mode.startswith("I"):  # 16 bits per pixel, which convert() would clip
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")
