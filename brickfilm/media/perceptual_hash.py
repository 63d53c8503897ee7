"""Hash what a picture shows, so that near-duplicates can be found."""

from __future__ import annotations

import numpy as np
from PIL import Image

HASHED_SIDE = 32
"""Pixels of the grey square that is transformed."""
HASH_SIDE = 8
"""Frequencies that are kept along each side: 64 bits."""


def perceptual_hash(image: Image.Image) -> str:
    """Return the 64-bit pHash in hex; similar pictures differ in few bits.

    Bits tell which low frequencies of the DCT-II lie above their median, as ImageHash's `phash`
    computes it, so hashes stored by older versions stay comparable. cv2.dct is orthonormal: the
    first row and column are scaled to the common factor of an unnormalised transform.
    """
    import cv2

    grey = image.convert("L").resize((HASHED_SIDE, HASHED_SIDE), Image.Resampling.LANCZOS)
    low = cv2.dct(np.asarray(grey, np.float64))[:HASH_SIDE, :HASH_SIDE]
    low[0] *= np.sqrt(2)
    low[:, 0] *= np.sqrt(2)
    return np.packbits(low > np.median(low)).tobytes().hex()
