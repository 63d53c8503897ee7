"""Measure how dissimilar two frames are: 0.05 to 0.5 between poses, 0.6 to 0.95 across a cut.

The similarity is a weighted mean of block matching (the share of contrast-normalised texture found
again at small shifts, around no shift and around the global one; exact matches count extra), luma
correlation, and chroma comparison apart from a global colour cast. Letterbox bars and overexposed
blocks are left out.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from brickfilm.detectors.holds.frame_features import BLOCK_SIZE, FrameFeatures, block_means
from brickfilm.detectors.holds.phase_correlation import Shift, phase_correlation
from brickfilm.scan.analyzer import FloatArray

SEARCH_RADIUS = 2
"""Pixels that a block may have moved by itself: a hand, a leaf."""
MIN_BLOCK_ENERGY = 0.15
"""Mean square of a block's detail below which there is nothing to match."""
FLAT_BLOCK_WEIGHT = 0.05
"""Weight of a block without texture: skies and black frames are compared by luma alone."""
FLAT_LUMA_RANGE = 40.0
"""Difference in levels at which two flat blocks are fully dissimilar."""
CORRELATION_THRESHOLD = 0.18
"""Correlation below which a global shift is chance, and is not tried."""
FAR_SHIFT_OVERLAP_THRESHOLD = 0.5
"""Visible share of the frame below which a shift is far: chance correlates more there."""
FAR_CORRELATION_THRESHOLD = 0.28
"""Correlation below which a far shift is chance."""
UNSHIFTED_MATCH_THRESHOLD = 0.58
"""Similarity without a shift from which none is searched: that takes two thirds of the time."""
LUMA_WEIGHT = 0.15
"""Weight of the luma correlation; the texture's is 1."""
LUMA_NOISE = 4.0
"""Levels by which the luma of blocks differs at random."""
CHROMA_WEIGHT = 0.5
"""Weight of equal chroma: a plain wall behind a moving figure has no texture, only colour."""
CHROMA_RANGE = 12.0
"""Distance, in percent of luma, at which two colours are fully dissimilar."""
CHROMA_NOISE = 4.0
"""Chroma, in percent of luma, that cannot be told from grey."""
COLOR_CAST_THRESHOLD = 10.0
"""Global colour change, in percent of luma, that is attributed to light: white balance, a lamp."""
EXACT_MATCH_WEIGHT = 0.8
"""Weight of exact matches: a figure that enters hides half of a frame and leaves the rest equal;
across a cut many blocks match by half and almost none exactly."""
EXACT_MATCH_THRESHOLDS = (0.75, 0.95)
"""Similarity of a block from which it counts as exact, and from which in full."""
OVEREXPOSED_LUMA_MARGIN = 15.0
"""Levels by which an overexposed block is brighter than the same block of the other frame."""
MIN_VISIBLE_SHARE = 0.4
"""Share of blocks that must remain for overexposed ones to be left out: a cut to a white wall is no
flash, even if a subtitle stays."""
BLUR_SIMILARITY_WEIGHT = 0.2
"""Similarity of any two frames of which one is out of focus: smooth gradients match everywhere."""


def dissimilarity(a: FrameFeatures, b: FrameFeatures) -> float:
    """Return 0 for equal frames, up to 1 for frames with nothing in common or of other sizes."""
    if a.half_luma.shape != b.half_luma.shape:
        return 1.0
    unshifted = _similarity_at_shift(a, b, (0, 0), SEARCH_RADIUS)
    if unshifted >= UNSHIFTED_MATCH_THRESHOLD:
        return 1 - unshifted
    by_blur = BLUR_SIMILARITY_WEIGHT * max(a.blur, b.blur)
    return min((1 - _best_similarity(a, b, unshifted)) / (1 - by_blur), 1.0)


def _best_similarity(a: FrameFeatures, b: FrameFeatures, unshifted: float) -> float:
    """Return the higher of the similarities without a shift and under the best global one."""
    shift, correlation = phase_correlation(a, b)
    is_far = float(_overlap_mask(a.energy.shape, shift).mean()) < FAR_SHIFT_OVERLAP_THRESHOLD
    threshold = FAR_CORRELATION_THRESHOLD if is_far else CORRELATION_THRESHOLD
    if max(map(abs, shift)) <= SEARCH_RADIUS or correlation < threshold:
        return unshifted
    return max(unshifted, _similarity_at_shift(a, b, shift, SEARCH_RADIUS - 1))


def _similarity_at_shift(a: FrameFeatures, b: FrameFeatures, shift: Shift, search: int) -> float:
    """Return the weighted mean of texture, luma and chroma similarity under a shift."""
    inside = _overlap_mask(a.energy.shape, shift) * np.maximum(a.picture_mask, b.picture_mask)
    b_luma = _shift_blocks(b.block_luma, shift)
    mask = _mask_overexposed(a, b, b_luma, shift, inside)
    is_compared = mask > 0
    coverage = min(1.0, 2 * float(mask.mean()))  # half of the frame is enough for full weight
    texture, exact = _texture_similarity(a, b, b_luma, shift, search, mask)
    luma, luma_reliability = _luma_correlation(a.block_luma[is_compared], b_luma[is_compared])
    luma_weight = LUMA_WEIGHT * luma_reliability * coverage
    b_chroma = _shift_blocks(b.block_chroma, shift)
    chroma, chroma_reliability = _chroma_similarity(a.block_chroma, b_chroma, mask)
    chroma_weight = CHROMA_WEIGHT * chroma_reliability * coverage
    similarity = texture + EXACT_MATCH_WEIGHT * exact + luma_weight * max(luma, 0.0)
    return (similarity + chroma_weight * chroma) / (
        1 + EXACT_MATCH_WEIGHT + luma_weight + chroma_weight
    )


def _texture_similarity(
    a: FrameFeatures,
    b: FrameFeatures,
    b_luma: FloatArray,
    shift: Shift,
    search: int,
    mask: FloatArray,
) -> tuple[float, float]:
    """Return the weighted shares of blocks that match, and that match exactly.

    Blocks without texture are compared by luma, at a low weight.
    """
    matches = _match_blocks(a, b, shift, search)
    texture = np.maximum(a.texture_weight, _shift_blocks(b.texture_weight, shift)) * mask
    flat = FLAT_BLOCK_WEIGHT * (mask - texture)
    flat_matches = flat * (1 - np.minimum(np.abs(a.block_luma - b_luma) / FLAT_LUMA_RANGE, 1))
    total = max(float((texture + flat).sum()), 1e-6)
    low, high = EXACT_MATCH_THRESHOLDS
    exact_matches = np.asarray(np.clip((matches - low) / (high - low), 0, 1), np.float32)
    matched, exact = (float((texture * m + flat_matches).sum()) for m in (matches, exact_matches))
    return matched / total, exact / total


def _mask_overexposed(
    a: FrameFeatures, b: FrameFeatures, b_luma: FloatArray, shift: Shift, inside: FloatArray
) -> FloatArray:
    """Return `inside` without blocks overexposed in one frame only: an explosion, a flash."""
    brighter = a.block_luma - b_luma
    in_a = a.overexposed * (brighter > OVEREXPOSED_LUMA_MARGIN)
    in_b = _shift_blocks(b.overexposed, shift) * (brighter < -OVEREXPOSED_LUMA_MARGIN)
    visible = inside * (1 - np.maximum(in_a, in_b))
    return visible if visible.sum() > MIN_VISIBLE_SHARE * inside.sum() else inside


def _match_blocks(a: FrameFeatures, b: FrameFeatures, around: Shift, search: int) -> FloatArray:
    """Return each block's best correlation with `b`, at most `search` pixels from a shift."""
    import cv2

    height, width = a.half_luma.shape
    margin = max(map(abs, around)) + search
    padded = cv2.copyMakeBorder(b.detail, margin, margin, margin, margin, cv2.BORDER_CONSTANT)
    detail, best = a.detail, np.zeros_like(a.energy)
    products = np.empty_like(detail)
    for right, down in product(range(-search, search + 1), repeat=2):
        x, y = margin + around[0] + right, margin + around[1] + down
        cv2.multiply(detail, padded[y : y + height, x : x + width], products)
        cv2.max(best, block_means(products), best)
    return np.minimum(best / np.maximum(a.energy, MIN_BLOCK_ENERGY), 1)


def _luma_correlation(a: FloatArray, b: FloatArray) -> tuple[float, float]:
    """Return the correlation of the blocks' luma, and its reliability, 0 in flat frames.

    It is independent of exposure.
    """
    if a.size < 2:
        return 0.0, 0.0
    a, b = a - a.mean(), b - b.mean()
    energies = float(np.vdot(a, a)), float(np.vdot(b, b))
    noise = a.size * LUMA_NOISE**2
    correlation = float(np.vdot(a, b)) / float(np.sqrt(energies[0] * energies[1] + noise**2))
    return correlation, max(energies) / (max(energies) + noise)


def _chroma_similarity(a: FloatArray, b: FloatArray, mask: FloatArray) -> tuple[float, float]:
    """Return the share of blocks with equal chroma, and its reliability, 0 for grey frames."""
    area = max(float(mask.sum()), 1e-6)
    distance = np.sqrt(((a - b + _color_cast(a, b, mask)) ** 2).sum(axis=2))
    similarity = float((mask * np.clip(1 - distance / CHROMA_RANGE, 0, 1)).sum()) / area
    energy = max(float((mask[..., None] * chroma**2).sum()) / area for chroma in (a, b))
    return similarity, energy / (energy + CHROMA_NOISE**2)


def _color_cast(a: FloatArray, b: FloatArray, mask: FloatArray) -> FloatArray:
    """Return the median chroma change from `a` to `b`, at most COLOR_CAST_THRESHOLD long."""
    is_compared = mask > 0
    if not is_compared.any():
        return np.zeros(2, np.float32)
    color_cast = np.median((b - a)[is_compared], axis=0)
    scale = min(1.0, COLOR_CAST_THRESHOLD / max(float(np.hypot(*color_cast)), 1e-6))
    return np.asarray(color_cast * scale, np.float32)


def _overlap_mask(shape: tuple[int, ...], shift: Shift) -> FloatArray:
    """Return 1 for the blocks that stay inside the frame under a shift."""
    rows, columns = (np.arange(n) * BLOCK_SIZE for n in shape)
    down = (rows + shift[1] >= 0) & (rows + shift[1] <= rows[-1])
    right = (columns + shift[0] >= 0) & (columns + shift[0] <= columns[-1])
    return np.asarray(down[:, None] & right[None], np.float32)


def _shift_blocks(blocks: FloatArray, shift: Shift) -> FloatArray:
    """Move a grid of blocks by a shift in pixels, with linear interpolation."""
    import cv2

    if shift == (0, 0):
        return blocks
    matrix = np.array([[1, 0, -shift[0] / BLOCK_SIZE], [0, 1, -shift[1] / BLOCK_SIZE]], np.float32)
    moved: FloatArray = cv2.warpAffine(blocks, matrix, blocks.shape[1::-1])
    return moved
