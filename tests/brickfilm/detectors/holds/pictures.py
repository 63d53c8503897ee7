"""Textures whose similarity is known: equal ones, shifted ones, and unrelated ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.uint8]


def picture(seed: int) -> Plane:
    """Draw a texture of soft blotches, wider than a frame."""
    import cv2

    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (30, 60), np.uint8)
    return np.asarray(cv2.resize(small, (480, 180), interpolation=cv2.INTER_CUBIC))


ONE, OTHER = picture(1)[:, :320], picture(2)[:, :320]
