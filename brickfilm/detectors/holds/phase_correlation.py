"""Find the global shift between two frames, such as a pan or a bumped camera, by FFT.

As in phase correlation the input is whitened, here by local contrast normalisation.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from brickfilm.detectors.holds.frame_features import ComplexArray, FrameFeatures, padded_spectrum
from brickfilm.scan.analyzer import FloatArray

Shift = tuple[int, int]
"""Pixels right and down, at half the size of the reduced frame."""

MIN_OVERLAP = 0.2
"""Share of the frame that must stay visible under a shift: in less, chance correlates."""
MIN_ENERGY_RATIO = 0.02
"""Share of the frame's area added to the energy, so that flat overlaps do not correlate."""


def phase_correlation(a: FrameFeatures, b: FrameFeatures) -> tuple[Shift, float]:
    """Return the shift with the highest correlation of two frames, and that correlation, 0 to 1.

    It is normalised by the energy of both frames in the overlap; overlaps of less than half of the
    frame are weighted down, since few pixels correlate by chance.
    """
    (a_spectrum, a_energy), (b_spectrum, b_energy) = a.spectra, b.spectra
    shape = (2 * (a.detail.shape[0] // 2), 2 * (a.detail.shape[1] // 2))
    ones, area = _overlap_spectrum(shape)
    a_inside = np.maximum(_cross_correlation(a_energy, ones, shape), 0)
    b_inside = np.maximum(_cross_correlation(ones, b_energy, shape), 0)
    overlap = np.minimum(area / area[0, 0], 1)
    norm = np.sqrt(a_inside * b_inside + (MIN_ENERGY_RATIO * area[0, 0]) ** 2)
    correlation = _cross_correlation(a_spectrum, b_spectrum, shape) / norm
    correlation *= np.sqrt(np.minimum(1, 2 * overlap))
    correlation[overlap < MIN_OVERLAP] = -1
    y, x = divmod(int(np.argmax(correlation)), shape[1])
    best = float(correlation[y, x])
    y, x = (v - n if v >= n // 2 else v for v, n in zip((y, x), shape, strict=True))
    return (2 * x, 2 * y), max(best, 0.0)


@cache
def _overlap_spectrum(shape: tuple[int, int]) -> tuple[ComplexArray, FloatArray]:
    """Return the spectrum of a frame of ones, and the overlapping area under each shift."""
    ones = padded_spectrum(np.ones((shape[0] // 2, shape[1] // 2), np.float32))
    return ones, np.maximum(_cross_correlation(ones, ones, shape), 0)


def _cross_correlation(a: ComplexArray, b: ComplexArray, shape: tuple[int, int]) -> FloatArray:
    """Return the cross-correlation of two images from their spectra."""
    return np.asarray(np.fft.irfft2(np.conj(a) * b, shape), np.float32)
