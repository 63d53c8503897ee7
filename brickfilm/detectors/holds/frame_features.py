"""Compute the features by which frames are compared: texture, luma and chroma of blocks.

Local contrast normalisation makes the texture independent of exposure, flicker and flashes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from brickfilm.scan.analyzer import FloatArray

ComplexArray = NDArray[np.complex64]

BLOCK_SIZE = 8
"""Pixels along a block's side, in frames 100 to 199 pixels wide."""
CONTRAST_WINDOW = (9, 9)
"""Pixels of the neighbourhood whose mean and contrast are normalised."""
CONTRAST_FLOOR = 4.0
"""Contrast in 8-bit levels that counts as noise and is not amplified to texture."""
FULL_TEXTURE_CONTRAST = 12.0
"""Contrast in levels from which a block has full weight."""
CHROMA_LUMA_OFFSET = 24.0
"""Levels added to luma before chroma is divided by it: in the dark, chroma is noise."""
OVEREXPOSED_TEXTURE_THRESHOLD = 0.35
"""Texture weight below which a block may be overexposed: clipped areas have no detail."""
OVEREXPOSED_LUMA_RATIO = 0.8
"""Luma of an overexposed block, as a share of the frame's 98th percentile."""
SHARPNESS_THRESHOLDS = (0.35, 0.7)
"""Pixel-to-pixel change of the detail, relative to its energy: fully out of focus, and sharp."""
MIN_DETAIL_ENERGY = 1e-3
"""Mean square of the detail below which focus cannot be estimated."""
LETTERBOX_THRESHOLD = 26.0
"""Level up to which border rows and columns belong to a letterbox: black is 16, plus noise."""


@dataclass(frozen=True, eq=False)
class FrameFeatures:
    """A reduced frame and its features, each computed on first use."""

    luma: NDArray[np.uint8]
    """[H, W], at least 16 pixels a side; usually 200 to 399 wide."""
    chroma_thumbnail: NDArray[np.uint8] | None = None
    """Cb and Cr of each block, [h, w, 2]; None for grey video."""

    @cached_property
    def half_luma(self) -> FloatArray:
        """Return luma at half size, cropped to whole blocks."""
        import cv2

        height, width = (side // 2 for side in self.luma.shape)
        half = cv2.resize(self.luma, (width, height), interpolation=cv2.INTER_AREA)
        cropped = half[: height // BLOCK_SIZE * BLOCK_SIZE, : width // BLOCK_SIZE * BLOCK_SIZE]
        return np.asarray(cropped, np.float32)

    @property
    def is_blank(self) -> bool:
        """Return True for frames that are nearly black, white or grey."""
        return float(self.thumbnail.std()) < CONTRAST_FLOOR

    @cached_property
    def thumbnail(self) -> FloatArray:
        """Return luma at 48 x 27, for sums and differences of whole frames."""
        import cv2

        thumbnail = cv2.resize(self.luma, (48, 27), interpolation=cv2.INTER_LINEAR)
        return np.asarray(thumbnail, np.float32)

    @cached_property
    def zero_mean_thumbnail(self) -> tuple[FloatArray, float]:
        """Return `thumbnail` minus its mean, and the sum of its squares."""
        zero_mean_thumbnail = self.thumbnail - self.thumbnail.mean()
        return zero_mean_thumbnail, float(np.vdot(zero_mean_thumbnail, zero_mean_thumbnail))

    @cached_property
    def _texture(self) -> tuple[FloatArray, FloatArray]:
        import cv2

        detail = self.half_luma - cv2.blur(self.half_luma, CONTRAST_WINDOW)
        variance = cv2.blur(detail * detail, CONTRAST_WINDOW)
        contrast = cv2.sqrt(np.maximum(variance, 0))  # running sums leave -1e-13 on flat ground
        if not self.picture_mask.all():
            contrast *= self.picture_mask.repeat(BLOCK_SIZE, 0).repeat(BLOCK_SIZE, 1)
            detail *= contrast > 0
        weight = np.minimum(block_means(contrast), FULL_TEXTURE_CONTRAST) / FULL_TEXTURE_CONTRAST
        return detail / (contrast + CONTRAST_FLOOR), np.asarray(weight, np.float32)

    @property
    def detail(self) -> FloatArray:
        """Return the contrast-normalised luma, about -1 to 1, [h, w]."""
        return self._texture[0]

    @property
    def texture_weight(self) -> FloatArray:
        """Return the amount of texture of each block, 0 to 1."""
        return self._texture[1]

    @cached_property
    def picture_mask(self) -> FloatArray:
        """Return 1 for blocks of the picture, 0 for blocks of a letterbox or at its edge."""
        rows, columns = (_inside_letterbox(self.half_luma.max(axis=axis)) for axis in (1, 0))
        inside = rows[:, None] & columns[None]
        return np.asarray(inside if inside.any() else ~inside, np.float32)

    @cached_property
    def energy(self) -> FloatArray:
        """Return the mean square of each block's detail."""
        return block_means(self.detail * self.detail)

    @cached_property
    def block_luma(self) -> FloatArray:
        """Return each block's mean level."""
        return block_means(self.half_luma)

    @cached_property
    def block_chroma(self) -> FloatArray:
        """Return each block's Cb and Cr in percent of its luma, [h, w, 2]; 0 for grey video."""
        height, width = self.block_luma.shape
        if self.chroma_thumbnail is None:
            return np.zeros((height, width, 2), np.float32)
        centred = self.chroma_thumbnail[:height, :width].astype(np.float32) - 128
        relative = 100 * centred / (self.block_luma + CHROMA_LUMA_OFFSET)[..., None]
        return np.asarray(relative, np.float32)

    @cached_property
    def overexposed(self) -> FloatArray:
        """Return 1 for blocks without texture that are about as bright as any in the frame."""
        brightest = OVEREXPOSED_LUMA_RATIO * float(np.percentile(self.block_luma, 98))
        is_flat = self.texture_weight < OVEREXPOSED_TEXTURE_THRESHOLD
        return np.asarray(is_flat & (self.block_luma >= brightest), np.float32)

    @cached_property
    def blur(self) -> float:
        """Return 0 for a sharp frame or one without detail, up to 1 for one out of focus."""
        energy = float(np.vdot(self.detail, self.detail))
        if energy < MIN_DETAIL_ENERGY * self.detail.size:
            return 0.0
        steps = (np.diff(self.detail, axis=axis) for axis in (0, 1))
        change = sum(float(np.vdot(step, step)) for step in steps)
        blurred, sharp = SHARPNESS_THRESHOLDS
        return min(max((sharp - change / energy) / (sharp - blurred), 0.0), 1.0)

    @cached_property
    def spectra(self) -> tuple[ComplexArray, ComplexArray]:
        """Return the spectra of the halved detail and of its square, padded against wrap-around."""
        import cv2

        height, width = (side // 2 for side in self.detail.shape)
        half = cv2.resize(self.detail, (width, height), interpolation=cv2.INTER_AREA)
        return padded_spectrum(half), padded_spectrum(half * half)


def block_means(image: FloatArray) -> FloatArray:
    """Return the mean of each block of BLOCK_SIZE x BLOCK_SIZE pixels."""
    import cv2

    height, width = image.shape
    means: FloatArray = cv2.resize(
        image, (width // BLOCK_SIZE, height // BLOCK_SIZE), interpolation=cv2.INTER_AREA
    )
    return means


def padded_spectrum(image: FloatArray) -> ComplexArray:
    """Return the FFT of an image, zero-padded to twice its size."""
    return np.fft.rfft2(image, (2 * image.shape[0], 2 * image.shape[1])).astype(np.complex64)


def _inside_letterbox(brightest: FloatArray) -> NDArray[np.bool_]:
    """Return True for the blocks along a side between black bars, by each line's maximum."""
    blocks = np.arange(len(brightest) // BLOCK_SIZE) * BLOCK_SIZE
    if min(brightest[0], brightest[-1]) > LETTERBOX_THRESHOLD:
        return np.ones(len(blocks), bool)
    lines = np.flatnonzero(brightest > LETTERBOX_THRESHOLD)
    if not len(lines):
        return np.zeros(len(blocks), bool)
    first, last = int(lines[0]), int(lines[-1])
    margin = CONTRAST_WINDOW[0] // 2
    after = (blocks >= first + margin) | (first == 0)
    before = (blocks + BLOCK_SIZE - 1 <= last - margin) | (last >= len(brightest) - 1)
    return np.asarray(after & before)
