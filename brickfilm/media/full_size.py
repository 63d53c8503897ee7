"""Take luma of a decoded frame at its full size: all of it, or bands for fine structure."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from brickfilm.media.decode import plane_view

BAND_LINES = 16
"""Lines of a band: two blocks of 8 x 8 pixels, which is what most codecs transform."""
MAX_BANDS, MAX_BAND_PIXELS = 4, 640
"""Bands of a frame, and pixels of a line."""
MAX_BAND_BYTES = MAX_BANDS * BAND_LINES * MAX_BAND_PIXELS
"""Bytes of a frame's bands: 41 kB, less than the reduced frame's."""
PLANAR_FORMATS = ("yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "gray")
"""Formats whose first plane is the luma in 8 bits; others are converted."""

Uint8Array = NDArray[np.uint8]


def full_luma(raw: Any) -> Uint8Array:
    """Return the luma of a frame as it is stored, [H, W], 8 bits, not turned upright."""
    if raw.format.name not in PLANAR_FORMATS:
        raw = raw.reformat(format="gray8")
    return plane_view(raw, 0).copy()


def luma_bands(raw: Any) -> Uint8Array:
    """Return bands of consecutive lines at full size, [bands, BAND_LINES, W].

    The bands lie evenly in the height, and in the middle of the width; all begin at a multiple of
    16 pixels, so that blocks of the codec begin where the bands do. A frame of fewer lines than a
    band, which is rejected afterwards, has one that is shorter.
    """
    luma = plane_view(raw, 0) if raw.format.name in PLANAR_FORMATS else full_luma(raw)
    height, width = luma.shape
    count = max(1, min(MAX_BANDS, height // (2 * BAND_LINES)))
    left = max(0, width - MAX_BAND_PIXELS) // 2 // BAND_LINES * BAND_LINES
    tops = [n * height // (count + 1) // BAND_LINES * BAND_LINES for n in range(1, count + 1)]
    return np.stack([luma[top : top + BAND_LINES, left : left + MAX_BAND_PIXELS] for top in tops])
