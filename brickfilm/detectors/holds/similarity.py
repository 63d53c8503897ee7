"""How unlike two pictures are, whatever jumps, flickers or shifts between them.

Two drawings of one shot share their background, perhaps moved by a camera and lit otherwise. So
blocks of texture are correlated after local light and contrast are divided out, each at its best
small shift, around standing still and around the best shift of the picture as a whole; and their
colours are compared. The answer is the share that was not found again: 0.05 to 0.5 from pose to
pose, 0.6 to 0.95 across a cut. What a blaze hides says nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
ComplexArray = NDArray[np.complex64]
Shift = tuple[int, int]
"""Pixels right and down."""

BLOCK_SIZE = 8
"""Pixels along a block's side, at a width of 100 to 199 pixels."""
CONTRAST_WINDOW = (9, 9)
"""Neighbourhood whose light and contrast are divided out."""
CONTRAST_FLOOR = 4.0
"""Contrast, in 8-bit levels, taken for noise: it is not blown up to texture."""
FULL_TEXTURE_CONTRAST = 12.0
"""Contrast from which a block counts in full."""
FLAT_BLOCK_WEIGHT = 0.05
"""Weight of a block without texture: skies and black frames are compared by light alone."""
FLAT_LUMA_RANGE = 40.0
"""Difference of light, in levels, at which two flat blocks are wholly unlike."""
SEARCH_RADIUS = 2
"""Pixels a block may have moved by itself."""
MIN_BLOCK_ENERGY = 0.15
"""Detail of a block below which there is nothing to find again."""
MIN_OVERLAP = 0.2
"""Share of the picture that a whole shift must keep in sight."""
CORRELATION_THRESHOLD = 0.18
"""Below this a whole shift is chance, and is not looked at."""
FAR_SHIFT_OVERLAP_THRESHOLD = 0.5
"""Share of the picture in sight below which a shift is far: there chance finds more."""
FAR_CORRELATION_THRESHOLD = 0.28
"""Below this a far shift is chance."""
UNSHIFTED_MATCH_THRESHOLD = 0.58
"""Likeness without any shift from which none is sought: it takes two thirds of the time."""
LUMA_WEIGHT = 0.15
"""Weight of the light's correlation beside the texture's, which weighs 1."""
CHROMA_WEIGHT = 0.5
"""Weight of colours that are the same, where there are any: a bare wall behind a figure that jumps
is most of what two drawings share."""
CHROMA_RANGE = 12.0
"""Distance, in percent of the light, at which two colours are wholly unlike."""
CHROMA_NOISE = 4.0
"""Colour, in percent of the light, that is as good as grey."""
CHROMA_LUMA_OFFSET = 24.0
"""Levels of light added before colours are divided by it: in the dark they are noise."""
EXACT_MATCH_WEIGHT = 0.8
"""Weight of what is found again exactly: a figure that walks in hides half of a picture and leaves
the other half as it was; across a cut much is found by half and next to nothing exactly."""
EXACT_MATCH_THRESHOLDS = (0.75, 0.95)
"""Likeness of a block from which it counts as exact, and from which in full."""
OVEREXPOSED_THRESHOLDS = (0.35, 0.8, 15.0)
"""A block that a blaze hides: texture that it has at most, light that it has at least as a share of
the picture's lightest, and levels by which it is lighter than the other picture's."""
MIN_VISIBLE_SHARE = 0.4
"""Share of what is compared that a blaze must leave to be looked past: a cut to a white wall is no
blaze, though a subtitle stays."""
COLOR_CAST_THRESHOLD = 10.0
"""Colour, in percent of the light, by which a whole picture may change: white balance, a lamp."""
SHARPNESS_THRESHOLDS = (0.35, 0.7)
"""How much a picture's detail changes from one pixel to the next, where it is wholly out of focus,
and from where on it is sharp."""
MIN_DETAIL_ENERGY = 1e-3
"""Mean square of a picture's detail below which it says nothing of focus."""
BLUR_SIMILARITY_WEIGHT = 0.2
"""Likeness of any two pictures of which one is out of focus: slopes are found everywhere."""
LETTERBOX_THRESHOLD = 26.0
"""Level up to which rows and columns at the border are bars of a letterbox."""
LUMA_NOISE = 4.0
"""Levels by which the light of blocks differs without meaning."""


@dataclass(frozen=True, eq=False)
class FrameFeatures:
    """A picture made ready to be compared: light and contrast divided out."""

    luma: NDArray[np.uint8]
    """[H, W], 16 pixels or more a side; of most films 200 to 399 wide."""
    chroma_thumbnail: NDArray[np.uint8] | None = None
    """Blue and red of each block, [h, w, 2]; without it a picture is grey."""

    @cached_property
    def half_luma(self) -> FloatArray:
        """Halved, its sides whole blocks."""
        import cv2

        height, width = (side // 2 for side in self.luma.shape)
        half = cv2.resize(self.luma, (width, height), interpolation=cv2.INTER_AREA)
        whole = half[: height // BLOCK_SIZE * BLOCK_SIZE, : width // BLOCK_SIZE * BLOCK_SIZE]
        return np.asarray(whole, np.float32)

    @property
    def is_blank(self) -> bool:
        """Whether it is as good as black, white or grey."""
        return float(self.thumbnail.std()) < CONTRAST_FLOOR

    @cached_property
    def thumbnail(self) -> FloatArray:
        """48 by 27, for sums and differences of whole pictures."""
        import cv2

        thumbnail = cv2.resize(self.luma, (48, 27), interpolation=cv2.INTER_LINEAR)
        return np.asarray(thumbnail, np.float32)

    @cached_property
    def zero_mean_thumbnail(self) -> tuple[FloatArray, float]:
        """`thumbnail` without its mean, and the sum of its squares."""
        zero_mean_thumbnail = self.thumbnail - self.thumbnail.mean()
        return zero_mean_thumbnail, float(np.vdot(zero_mean_thumbnail, zero_mean_thumbnail))

    @cached_property
    def _texture(self) -> tuple[FloatArray, FloatArray]:
        import cv2

        detail = self.half_luma - cv2.blur(self.half_luma, CONTRAST_WINDOW)
        contrast = cv2.sqrt(cv2.blur(detail * detail, CONTRAST_WINDOW))
        if not self.picture_mask.all():
            contrast *= self.picture_mask.repeat(BLOCK_SIZE, 0).repeat(BLOCK_SIZE, 1)
            detail *= contrast > 0
        texture_weight = (
            np.minimum(block_means(contrast), FULL_TEXTURE_CONTRAST) / FULL_TEXTURE_CONTRAST
        )
        return detail / (contrast + CONTRAST_FLOOR), np.asarray(texture_weight, np.float32)

    @property
    def detail(self) -> FloatArray:
        """What is left without light and contrast, about -1 to 1; [h, w]."""
        return self._texture[0]

    @property
    def texture_weight(self) -> FloatArray:
        """How much texture each block has, 0 to 1."""
        return self._texture[1]

    @cached_property
    def picture_mask(self) -> FloatArray:
        """1 for blocks of the picture, 0 for those of black bars around it and on their edges."""
        rows, columns = (_inside_letterbox(self.half_luma.max(axis=axis)) for axis in (1, 0))
        both = rows[:, None] & columns[None]
        return np.asarray(both if both.any() else ~both, np.float32)

    @cached_property
    def energy(self) -> FloatArray:
        """Each block's correlation with itself."""
        return block_means(self.detail * self.detail)

    @cached_property
    def light(self) -> FloatArray:
        """Each block's mean level."""
        return block_means(self.half_luma)

    @cached_property
    def block_chroma(self) -> FloatArray:
        """Each block's blue and red in percent of its light, as far as there is any; [h, w, 2]."""
        height, width = self.light.shape
        if self.chroma_thumbnail is None:
            return np.zeros((height, width, 2), np.float32)
        chroma_thumbnail = self.chroma_thumbnail[:height, :width].astype(np.float32) - 128
        return np.asarray(
            100 * chroma_thumbnail / (self.light + CHROMA_LUMA_OFFSET)[..., None], np.float32
        )

    @cached_property
    def overexposed(self) -> FloatArray:
        """1 for blocks without texture that are about as light as any in the picture."""
        faint, light, _ = OVEREXPOSED_THRESHOLDS
        lightest = light * float(np.percentile(self.light, 98))
        return np.asarray((self.texture_weight < faint) & (self.light >= lightest), np.float32)

    @cached_property
    def blur(self) -> float:
        """0 for a sharp picture, or one without detail, to 1 for one out of focus."""
        strength = float(np.vdot(self.detail, self.detail))
        if strength < MIN_DETAIL_ENERGY * self.detail.size:
            return 0.0
        steps = (np.diff(self.detail, axis=axis) for axis in (0, 1))
        change = sum(float(np.vdot(step, step)) for step in steps)
        least, sharp = SHARPNESS_THRESHOLDS
        return min(max((sharp - change / strength) / (sharp - least), 0.0), 1.0)

    @cached_property
    def spectra(self) -> tuple[ComplexArray, ComplexArray]:
        """Of the halved detail and of its square, padded so that shifts do not wrap."""
        import cv2

        height, width = (side // 2 for side in self.detail.shape)
        half = cv2.resize(self.detail, (width, height), interpolation=cv2.INTER_AREA)
        return _spectrum(half), _spectrum(half * half)


def dissimilarity(a: FrameFeatures, b: FrameFeatures) -> float:
    """0 for the same picture, 1 for two with nothing in common."""
    if a.half_luma.shape != b.half_luma.shape:
        return 1.0
    standing = _similarity_at_shift(a, b, (0, 0), SEARCH_RADIUS)
    if standing >= UNSHIFTED_MATCH_THRESHOLD:
        return 1 - standing
    return min(
        (1 - _best_similarity(a, b, standing)) / (1 - BLUR_SIMILARITY_WEIGHT * max(a.blur, b.blur)),
        1.0,
    )


def _best_similarity(a: FrameFeatures, b: FrameFeatures, standing: float) -> float:
    """How alike two pictures are, standing or under their best shift."""
    shift, correlation = phase_correlation(a, b)
    far = float(_overlap_mask(a.energy.shape, shift).mean()) < FAR_SHIFT_OVERLAP_THRESHOLD
    least = FAR_CORRELATION_THRESHOLD if far else CORRELATION_THRESHOLD
    if max(map(abs, shift)) <= SEARCH_RADIUS or correlation < least:
        return standing
    return max(standing, _similarity_at_shift(a, b, shift, SEARCH_RADIUS - 1))


def _similarity_at_shift(a: FrameFeatures, b: FrameFeatures, shift: Shift, search: int) -> float:
    """How much of `a` is found in `b` under a shift: its texture, its light, its colours."""
    inside = _overlap_mask(a.energy.shape, shift) * np.maximum(a.picture_mask, b.picture_mask)
    light = _shift_blocks(b.light, shift)
    inside = _mask_overexposed(a, b, light, shift, inside)
    seen, wide = inside > 0, min(1.0, 2 * float(inside.mean()))  # from half of it on, all is known
    found, exact = _texture_similarity(a, b, light, shift, search, inside)
    coarse, strength = _luma_correlation(a.light[seen], light[seen])
    share = LUMA_WEIGHT * strength * wide
    same, colourful = _chroma_similarity(
        a.block_chroma, _shift_blocks(b.block_chroma, shift), inside
    )
    hue = CHROMA_WEIGHT * colourful * wide
    alike = found + EXACT_MATCH_WEIGHT * exact + share * max(coarse, 0.0) + hue * same
    return alike / (1 + EXACT_MATCH_WEIGHT + share + hue)


def _texture_similarity(
    a: FrameFeatures,
    b: FrameFeatures,
    light: FloatArray,
    shift: Shift,
    search: int,
    inside: FloatArray,
) -> tuple[float, float]:
    """Share of the texture, and of flat areas by their light, that is found, and found exactly."""
    fine = _match_blocks(a, b, shift, search)
    texture = np.maximum(a.texture_weight, _shift_blocks(b.texture_weight, shift)) * inside
    flat = FLAT_BLOCK_WEIGHT * (inside - texture)
    near = flat * (1 - np.minimum(np.abs(a.light - light) / FLAT_LUMA_RANGE, 1))
    whole = max(float((texture + flat).sum()), 1e-6)
    found, exact = (
        float((texture * part + near).sum()) for part in (fine, _exact_match_score(fine))
    )
    return found / whole, exact / whole


def _mask_overexposed(
    a: FrameFeatures, b: FrameFeatures, light: FloatArray, shift: Shift, inside: FloatArray
) -> FloatArray:
    """What is inside, less what a blaze hides in one of the pictures: an explosion, a flash."""
    lighter, by = a.light - light, OVEREXPOSED_THRESHOLDS[2]
    overexposed_blocks = (
        a.overexposed * (lighter > by),
        _shift_blocks(b.overexposed, shift) * (lighter < -by),
    )
    left = inside * (1 - np.maximum(*overexposed_blocks))
    return left if left.sum() > MIN_VISIBLE_SHARE * inside.sum() else inside


def _exact_match_score(likeness: FloatArray) -> FloatArray:
    least, whole = EXACT_MATCH_THRESHOLDS
    return np.asarray(np.clip((likeness - least) / (whole - least), 0, 1), np.float32)


def _match_blocks(a: FrameFeatures, b: FrameFeatures, around: Shift, search: int) -> FloatArray:
    """For each block of `a`, how much of its detail is in `b` under the shift or a bit beside."""
    import cv2

    height, width = a.half_luma.shape
    margin = max(map(abs, around)) + search
    border = cv2.copyMakeBorder(b.detail, margin, margin, margin, margin, cv2.BORDER_CONSTANT)
    detail, best = a.detail, np.zeros_like(a.energy)
    together = np.empty_like(detail)
    for right, down in product(range(-search, search + 1), repeat=2):
        x, y = margin + around[0] + right, margin + around[1] + down
        cv2.multiply(detail, border[y : y + height, x : x + width], together)
        cv2.max(best, block_means(together), best)
    return np.minimum(best / np.maximum(a.energy, MIN_BLOCK_ENERGY), 1)


def _luma_correlation(a: FloatArray, b: FloatArray) -> tuple[float, float]:
    """How the light of two pictures' blocks goes together, and how much that says: nothing in the
    dark. A change of exposure changes nothing."""
    if a.size < 2:
        return 0.0, 0.0
    a, b = a - a.mean(), b - b.mean()
    spread = float(np.vdot(a, a)), float(np.vdot(b, b))
    noise = a.size * LUMA_NOISE**2
    together = float(np.vdot(a, b)) / float(np.sqrt(spread[0] * spread[1] + noise**2))
    return together, max(spread) / (max(spread) + noise)


def _chroma_similarity(a: FloatArray, b: FloatArray, inside: FloatArray) -> tuple[float, float]:
    """How much of two pictures has the same colour, and how much that says: of grey, nothing."""
    area = max(float(inside.sum()), 1e-6)
    apart = np.sqrt(((a - b + _color_cast(a, b, inside)) ** 2).sum(axis=2))
    same = float((inside * np.clip(1 - apart / CHROMA_RANGE, 0, 1)).sum()) / area
    strong = max(float((inside[..., None] * side**2).sum()) / area for side in (a, b))
    return same, strong / (strong + CHROMA_NOISE**2)


def _color_cast(a: FloatArray, b: FloatArray, inside: FloatArray) -> FloatArray:
    """By how much the second picture as a whole is bluer and redder, as far as that is light."""
    known = inside > 0
    if not known.any():
        return np.zeros(2, np.float32)
    color_cast = np.median((b - a)[known], axis=0)
    return np.asarray(
        color_cast * min(1.0, COLOR_CAST_THRESHOLD / max(float(np.hypot(*color_cast)), 1e-6)),
        np.float32,
    )


def _inside_letterbox(brightest: FloatArray) -> NDArray[np.bool_]:
    """Which blocks along a side lie between its bars, by the brightest pixel of each line."""
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


def _overlap_mask(shape: tuple[int, ...], shift: Shift) -> FloatArray:
    """1 for blocks that are still in the picture after a shift."""
    rows, columns = (np.arange(n) * BLOCK_SIZE for n in shape)
    down = (rows + shift[1] >= 0) & (rows + shift[1] <= rows[-1])
    right = (columns + shift[0] >= 0) & (columns + shift[0] <= columns[-1])
    return np.asarray(down[:, None] & right[None], np.float32)


def _shift_blocks(blocks: FloatArray, shift: Shift) -> FloatArray:
    """Blocks as they lie under a shift by pixels."""
    import cv2

    if shift == (0, 0):
        return blocks
    matrix = np.array([[1, 0, -shift[0] / BLOCK_SIZE], [0, 1, -shift[1] / BLOCK_SIZE]], np.float32)
    moved: FloatArray = cv2.warpAffine(blocks, matrix, blocks.shape[1::-1])
    return moved


def phase_correlation(a: FrameFeatures, b: FrameFeatures) -> tuple[Shift, float]:
    """The shift under which two pictures correlate best, and how well: 0 to 1.

    Normalised by what both show in the overlap; small overlaps count less, for in few pixels chance
    finds more.
    """
    (fa, fa2), (fb, fb2) = a.spectra, b.spectra
    shape = (2 * (a.detail.shape[0] // 2), 2 * (a.detail.shape[1] // 2))
    whole, area = _overlap_spectrum(shape)
    energy = np.maximum(_cross_correlation(fa2, whole, shape), 0) * np.maximum(
        _cross_correlation(whole, fb2, shape), 0
    )
    overlap = np.minimum(area / area[0, 0], 1)
    faint = (0.02 * area[0, 0]) ** 2
    fit = (
        _cross_correlation(fa, fb, shape)
        / np.sqrt(energy + faint)
        * np.sqrt(np.minimum(1, 2 * overlap))
    )
    fit[overlap < MIN_OVERLAP] = -1
    y, x = divmod(int(np.argmax(fit)), shape[1])
    best = float(fit[y, x])
    y, x = (v - n if v >= n // 2 else v for v, n in zip((y, x), shape, strict=True))
    return (2 * x, 2 * y), max(best, 0.0)


@cache
def _overlap_spectrum(shape: Shift) -> tuple[ComplexArray, FloatArray]:
    """Of a picture of ones: its spectrum, and how much of it overlaps under each shift."""
    whole = _spectrum(np.ones((shape[0] // 2, shape[1] // 2), np.float32))
    return whole, np.maximum(_cross_correlation(whole, whole, shape), 0)


def _spectrum(image: FloatArray) -> ComplexArray:
    return np.fft.rfft2(image, (2 * image.shape[0], 2 * image.shape[1])).astype(np.complex64)


def _cross_correlation(a: ComplexArray, b: ComplexArray, shape: tuple[int, int]) -> FloatArray:
    return np.asarray(np.fft.irfft2(np.conj(a) * b, shape), np.float32)


def block_means(image: FloatArray) -> FloatArray:
    """The mean of each block."""
    import cv2

    height, width = image.shape
    means: FloatArray = cv2.resize(
        image, (width // BLOCK_SIZE, height // BLOCK_SIZE), interpolation=cv2.INTER_AREA
    )
    return means
