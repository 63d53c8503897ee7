"""Measure how much the brightness and colours of a picture change, apart from a change of light."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from brickfilm.detectors.transnetv2.network import Thumbnail
from brickfilm.scan.analyzer import FloatArray

LUMA_BINS = 32
COLOR_BINS = 16
"""Bins of each of luma, Cr and Cb."""
SMOOTHING = (0.25, 0.5, 0.25)
"""Weights of a luma bin and its neighbours: levels near an edge of two bins count for both."""
MIDDLE = 128

Histograms = tuple[FloatArray, FloatArray]
"""Shares of pixels by luma, [LUMA_BINS], and by colour and luma around the median, flattened."""


def tone_change(a: Thumbnail, b: Thumbnail) -> float:
    """Return the change of the histograms of two thumbnails, 0 to 1.

    It is the larger of two: of the luma, where plain cards of two colours follow each other, and of
    the colours around their median, which a change of white balance moves together.
    """
    pairs = zip(tone_histograms(a), tone_histograms(b), strict=True)
    shared = min(float(np.minimum(one, other).sum()) for one, other in pairs)
    return max(1 - shared, 0.0)


def tone_histograms(thumbnail: Thumbnail) -> Histograms:
    """Return the histogram of luma, and that of colours with the median moved to grey."""
    import cv2

    pixels: NDArray[np.uint8] = cv2.cvtColor(thumbnail, cv2.COLOR_RGB2YCrCb)
    luma = np.convolve(_shares(pixels, (0,), LUMA_BINS), SMOOTHING, "same")
    median = np.median(pixels.reshape(-1, 3), axis=0)
    centred = np.clip(pixels.astype(np.float32) - median + MIDDLE, 0, 255).astype(np.uint8)
    return np.asarray(luma / luma.sum(), np.float32), _shares(centred, (0, 1, 2), COLOR_BINS)


def _shares(pixels: NDArray[Any], channels: tuple[int, ...], bins: int) -> FloatArray:
    """Return the share of pixels in each bin, flattened."""
    import cv2

    sizes = [bins] * len(channels)
    counts = cv2.calcHist([pixels], list(channels), None, sizes, [0, 256] * len(channels))
    return np.asarray(counts.ravel() / pixels[..., 0].size, np.float32)
