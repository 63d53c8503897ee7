"""Orientation of frames by their display matrix, and of images by EXIF, as players show them."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

EXIF_TAG = 0x0112
MATRIX_SIDE_DATA = "DISPLAYMATRIX"
TRANSPOSE_FILTERS = {
    (False, False): "cclock_flip",
    (False, True): "cclock",
    (True, False): "clock",
    (True, True): "clock_flip",
}
"""Arguments of FFmpeg's `transpose` by (flip_x, flip_y) after the transposition."""


@dataclass(frozen=True)
class Orientation:
    """A transposition, then flips: all that a display matrix of quarter turns and mirrors says."""

    transposed: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @classmethod
    def of(cls, side_data: Mapping[Any, Any]) -> Orientation:
        """Return the orientation by a frame's side data; other angles become the nearest quarter.

        side_data: PyAV's container, made anew: a frame keeps `frame.side_data`, which keeps it.
        """
        matrix = side_data.get(MATRIX_SIDE_DATA)
        return UPRIGHT if matrix is None else _from_matrix(bytes(matrix))

    @classmethod
    def of_image(cls, image: Any) -> Orientation:
        """Return the orientation of Pillow's image by its EXIF; upright without one."""
        return EXIF_ORIENTATIONS.get(image.getexif().get(EXIF_TAG, 1), UPRIGHT)

    @property
    def is_mirrored(self) -> bool:
        """Return True if no rotation alone makes the frame upright."""
        return self.transposed ^ self.flip_x ^ self.flip_y

    def filters(self) -> list[tuple[str, str]]:
        """Return FFmpeg filters, with arguments, that make a frame upright."""
        if self.transposed:
            return [("transpose", TRANSPOSE_FILTERS[self.flip_x, self.flip_y])]
        flips = (("hflip", self.flip_x), ("vflip", self.flip_y))
        return [(name, "") for name, is_needed in flips if is_needed]

    def apply(self, image: NDArray[Any]) -> NDArray[Any]:
        """Return an upright view of an image, [H, W, ...]."""
        image = image.swapaxes(0, 1) if self.transposed else image
        image = image[:, ::-1] if self.flip_x else image
        return image[::-1] if self.flip_y else image

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Return the upright width and height of a stored size."""
        return (height, width) if self.transposed else (width, height)


UPRIGHT = Orientation()
EXIF_ORIENTATIONS = {
    2: Orientation(flip_x=True),
    3: Orientation(flip_x=True, flip_y=True),
    4: Orientation(flip_y=True),
    5: Orientation(transposed=True),
    6: Orientation(transposed=True, flip_x=True),
    7: Orientation(transposed=True, flip_x=True, flip_y=True),
    8: Orientation(transposed=True, flip_y=True),
}
"""By the value of an image's EXIF tag; 1 and unknown ones are upright."""


@lru_cache(maxsize=8)
def _from_matrix(matrix: bytes) -> Orientation:
    """Decode a display matrix: 9 integers, of which 0, 1, 3 and 4 turn and mirror."""
    a, b, _, c, d = struct.unpack_from("=5i", matrix)
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Orientation(True, c < 0, b < 0)
    return Orientation(False, a < 0, d < 0)
