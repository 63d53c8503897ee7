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

Floats = NDArray[np.float32]
Complex = NDArray[np.complex64]
Shift = tuple[int, int]
"""Pixels right and down."""

BLOCK = 8
"""Pixels along a block's side, at a width of 100 to 199 pixels."""
WINDOW = (9, 9)
"""Neighbourhood whose light and contrast are divided out."""
FLOOR = 4.0
"""Contrast, in 8-bit levels, taken for noise: it is not blown up to texture."""
TEXTURE = 12.0
"""Contrast from which a block counts in full."""
FLAT_SHARE = 0.05
"""Weight of a block without texture: skies and black frames are compared by light alone."""
FLAT_RANGE = 40.0
"""Difference of light, in levels, at which two flat blocks are wholly unlike."""
SEARCH = 2
"""Pixels a block may have moved by itself."""
LEAST_ENERGY = 0.15
"""Detail of a block below which there is nothing to find again."""
LEAST_OVERLAP = 0.2
"""Share of the picture that a whole shift must keep in sight."""
LEAST_CORRELATION = 0.18
"""Below this a whole shift is chance, and is not looked at."""
FAR = 0.5
"""Share of the picture in sight below which a shift is far: there chance finds more."""
LEAST_FAR_CORRELATION = 0.28
"""Below this a far shift is chance."""
PLAINLY = 0.58
"""Likeness without any shift from which none is sought: it takes two thirds of the time."""
LIGHT_SHARE = 0.15
"""Weight of the light's correlation beside the texture's, which weighs 1."""
COLOUR_SHARE = 0.5
"""Weight of colours that are the same, where there are any: a bare wall behind a figure that jumps
is most of what two drawings share."""
COLOUR_RANGE = 12.0
"""Distance, in percent of the light, at which two colours are wholly unlike."""
COLOUR_NOISE = 4.0
"""Colour, in percent of the light, that is as good as grey."""
DIM = 24.0
"""Levels of light added before colours are divided by it: in the dark they are noise."""
EXACT_SHARE = 0.8
"""Weight of what is found again exactly: a figure that walks in hides half of a picture and leaves
the other half as it was; across a cut much is found by half and next to nothing exactly."""
EXACT = (0.75, 0.95)
"""Likeness of a block from which it counts as exact, and from which in full."""
BURNT = (0.35, 0.8, 15.0)
"""A block that a blaze hides: texture that it has at most, light that it has at least as a share of
the picture's lightest, and levels by which it is lighter than the other picture's."""
LEAST_KNOWN = 0.4
"""Share of what is compared that a blaze must leave to be looked past: a cut to a white wall is no
blaze, though a subtitle stays."""
CAST = 10.0
"""Colour, in percent of the light, by which a whole picture may change: white balance, a lamp."""
SHARP = (0.35, 0.7)
"""How much a picture's detail changes from one pixel to the next, where it is wholly out of focus,
and from where on it is sharp."""
LEAST_DETAIL = 1e-3
"""Mean square of a picture's detail below which it says nothing of focus."""
BLUR_SHARE = 0.2
"""Likeness of any two pictures of which one is out of focus: slopes are found everywhere."""
BLACK = 26.0
"""Level up to which rows and columns at the border are bars of a letterbox."""
LIGHT_NOISE = 4.0
"""Levels by which the light of blocks differs without meaning."""


@dataclass(frozen=True, eq=False)
class Look:
    """A picture made ready to be compared: light and contrast divided out."""

    luma: NDArray[np.uint8]
    """[H, W], 16 pixels or more a side; of most films 200 to 399 wide."""
    tint: NDArray[np.uint8] | None = None
    """Blue and red of each block, [h, w, 2]; without it a picture is grey."""

    @cached_property
    def small(self) -> Floats:
        """Halved, its sides whole blocks."""
        import cv2

        height, width = (side // 2 for side in self.luma.shape)
        half = cv2.resize(self.luma, (width, height), interpolation=cv2.INTER_AREA)
        whole = half[: height // BLOCK * BLOCK, : width // BLOCK * BLOCK]
        return np.asarray(whole, np.float32)

    @property
    def is_blank(self) -> bool:
        """Whether it is as good as black, white or grey."""
        return float(self.tiny.std()) < FLOOR

    @cached_property
    def tiny(self) -> Floats:
        """48 by 27, for sums and differences of whole pictures."""
        import cv2

        tiny = cv2.resize(self.luma, (48, 27), interpolation=cv2.INTER_LINEAR)
        return np.asarray(tiny, np.float32)

    @cached_property
    def relief(self) -> tuple[Floats, float]:
        """`tiny` without its mean, and the sum of its squares."""
        relief = self.tiny - self.tiny.mean()
        return relief, float(np.vdot(relief, relief))

    @cached_property
    def _texture(self) -> tuple[Floats, Floats]:
        import cv2

        detail = self.small - cv2.blur(self.small, WINDOW)
        contrast = cv2.sqrt(cv2.blur(detail * detail, WINDOW))
        if not self.shown.all():
            contrast *= self.shown.repeat(BLOCK, 0).repeat(BLOCK, 1)
            detail *= contrast > 0
        weight = np.minimum(by_block(contrast), TEXTURE) / TEXTURE
        return detail / (contrast + FLOOR), np.asarray(weight, np.float32)

    @property
    def detail(self) -> Floats:
        """What is left without light and contrast, about -1 to 1; [h, w]."""
        return self._texture[0]

    @property
    def weight(self) -> Floats:
        """How much texture each block has, 0 to 1."""
        return self._texture[1]

    @cached_property
    def shown(self) -> Floats:
        """1 for blocks of the picture, 0 for those of black bars around it and on their edges."""
        rows, columns = (_between_bars(self.small.max(axis=axis)) for axis in (1, 0))
        both = rows[:, None] & columns[None]
        return np.asarray(both if both.any() else ~both, np.float32)

    @cached_property
    def energy(self) -> Floats:
        """Each block's correlation with itself."""
        return by_block(self.detail * self.detail)

    @cached_property
    def light(self) -> Floats:
        """Each block's mean level."""
        return by_block(self.small)

    @cached_property
    def colour(self) -> Floats:
        """Each block's blue and red in percent of its light, as far as there is any; [h, w, 2]."""
        height, width = self.light.shape
        if self.tint is None:
            return np.zeros((height, width, 2), np.float32)
        tint = self.tint[:height, :width].astype(np.float32) - 128
        return np.asarray(100 * tint / (self.light + DIM)[..., None], np.float32)

    @cached_property
    def burnt(self) -> Floats:
        """1 for blocks without texture that are about as light as any in the picture."""
        faint, light, _ = BURNT
        lightest = light * float(np.percentile(self.light, 98))
        return np.asarray((self.weight < faint) & (self.light >= lightest), np.float32)

    @cached_property
    def blur(self) -> float:
        """0 for a sharp picture, or one without detail, to 1 for one out of focus."""
        strength = float(np.vdot(self.detail, self.detail))
        if strength < LEAST_DETAIL * self.detail.size:
            return 0.0
        steps = (np.diff(self.detail, axis=axis) for axis in (0, 1))
        change = sum(float(np.vdot(step, step)) for step in steps)
        least, sharp = SHARP
        return min(max((sharp - change / strength) / (sharp - least), 0.0), 1.0)

    @cached_property
    def spectra(self) -> tuple[Complex, Complex]:
        """Of the halved detail and of its square, padded so that shifts do not wrap."""
        import cv2

        height, width = (side // 2 for side in self.detail.shape)
        half = cv2.resize(self.detail, (width, height), interpolation=cv2.INTER_AREA)
        return _spectrum(half), _spectrum(half * half)


def unlikeness(a: Look, b: Look) -> float:
    """0 for the same picture, 1 for two with nothing in common."""
    if a.small.shape != b.small.shape:
        return 1.0
    standing = _alike(a, b, (0, 0), SEARCH)
    if standing >= PLAINLY:
        return 1 - standing
    return min((1 - _shifted(a, b, standing)) / (1 - BLUR_SHARE * max(a.blur, b.blur)), 1.0)


def _shifted(a: Look, b: Look, standing: float) -> float:
    """How alike two pictures are, standing or under their best shift."""
    shift, correlation = whole_shift(a, b)
    far = float(_inside(a.energy.shape, shift).mean()) < FAR
    least = LEAST_FAR_CORRELATION if far else LEAST_CORRELATION
    if max(map(abs, shift)) <= SEARCH or correlation < least:
        return standing
    return max(standing, _alike(a, b, shift, SEARCH - 1))


def _alike(a: Look, b: Look, shift: Shift, search: int) -> float:
    """How much of `a` is found in `b` under a shift: its texture, its light, its colours."""
    inside = _inside(a.energy.shape, shift) * np.maximum(a.shown, b.shown)
    light = _moved(b.light, shift)
    inside = _not_hidden(a, b, light, shift, inside)
    seen, wide = inside > 0, min(1.0, 2 * float(inside.mean()))  # from half of it on, all is known
    found, exact = _found_again(a, b, light, shift, search, inside)
    coarse, strength = _correlation(a.light[seen], light[seen])
    share = LIGHT_SHARE * strength * wide
    same, colourful = _same_colour(a.colour, _moved(b.colour, shift), inside)
    hue = COLOUR_SHARE * colourful * wide
    alike = found + EXACT_SHARE * exact + share * max(coarse, 0.0) + hue * same
    return alike / (1 + EXACT_SHARE + share + hue)


def _found_again(
    a: Look, b: Look, light: Floats, shift: Shift, search: int, inside: Floats
) -> tuple[float, float]:
    """Share of the texture, and of flat areas by their light, that is found, and found exactly."""
    fine = _same_texture(a, b, shift, search)
    texture = np.maximum(a.weight, _moved(b.weight, shift)) * inside
    flat = FLAT_SHARE * (inside - texture)
    near = flat * (1 - np.minimum(np.abs(a.light - light) / FLAT_RANGE, 1))
    whole = max(float((texture + flat).sum()), 1e-6)
    found, exact = (float((texture * part + near).sum()) for part in (fine, _exact(fine)))
    return found / whole, exact / whole


def _not_hidden(a: Look, b: Look, light: Floats, shift: Shift, inside: Floats) -> Floats:
    """What is inside, less what a blaze hides in one of the pictures: an explosion, a flash."""
    lighter, by = a.light - light, BURNT[2]
    blazes = (a.burnt * (lighter > by), _moved(b.burnt, shift) * (lighter < -by))
    left = inside * (1 - np.maximum(*blazes))
    return left if left.sum() > LEAST_KNOWN * inside.sum() else inside


def _exact(likeness: Floats) -> Floats:
    least, whole = EXACT
    return np.asarray(np.clip((likeness - least) / (whole - least), 0, 1), np.float32)


def _same_texture(a: Look, b: Look, around: Shift, search: int) -> Floats:
    """For each block of `a`, how much of its detail is in `b` under the shift or a bit beside."""
    import cv2

    height, width = a.small.shape
    margin = max(map(abs, around)) + search
    border = cv2.copyMakeBorder(b.detail, margin, margin, margin, margin, cv2.BORDER_CONSTANT)
    detail, best = a.detail, np.zeros_like(a.energy)
    together = np.empty_like(detail)
    for right, down in product(range(-search, search + 1), repeat=2):
        x, y = margin + around[0] + right, margin + around[1] + down
        cv2.multiply(detail, border[y : y + height, x : x + width], together)
        cv2.max(best, by_block(together), best)
    return np.minimum(best / np.maximum(a.energy, LEAST_ENERGY), 1)


def _correlation(a: Floats, b: Floats) -> tuple[float, float]:
    """How the light of two pictures' blocks goes together, and how much that says: nothing in the
    dark. A change of exposure changes nothing."""
    if a.size < 2:
        return 0.0, 0.0
    a, b = a - a.mean(), b - b.mean()
    spread = float(np.vdot(a, a)), float(np.vdot(b, b))
    noise = a.size * LIGHT_NOISE**2
    together = float(np.vdot(a, b)) / float(np.sqrt(spread[0] * spread[1] + noise**2))
    return together, max(spread) / (max(spread) + noise)


def _same_colour(a: Floats, b: Floats, inside: Floats) -> tuple[float, float]:
    """How much of two pictures has the same colour, and how much that says: of grey, nothing."""
    area = max(float(inside.sum()), 1e-6)
    apart = np.sqrt(((a - b + _cast(a, b, inside)) ** 2).sum(axis=2))
    same = float((inside * np.clip(1 - apart / COLOUR_RANGE, 0, 1)).sum()) / area
    strong = max(float((inside[..., None] * side**2).sum()) / area for side in (a, b))
    return same, strong / (strong + COLOUR_NOISE**2)


def _cast(a: Floats, b: Floats, inside: Floats) -> Floats:
    """By how much the second picture as a whole is bluer and redder, as far as that is light."""
    known = inside > 0
    if not known.any():
        return np.zeros(2, np.float32)
    cast = np.median((b - a)[known], axis=0)
    return np.asarray(cast * min(1.0, CAST / max(float(np.hypot(*cast)), 1e-6)), np.float32)


def _between_bars(brightest: Floats) -> NDArray[np.bool_]:
    """Which blocks along a side lie between its bars, by the brightest pixel of each line."""
    blocks = np.arange(len(brightest) // BLOCK) * BLOCK
    if min(brightest[0], brightest[-1]) > BLACK:
        return np.ones(len(blocks), bool)
    lines = np.flatnonzero(brightest > BLACK)
    if not len(lines):
        return np.zeros(len(blocks), bool)
    first, last = int(lines[0]), int(lines[-1])
    margin = WINDOW[0] // 2
    after = (blocks >= first + margin) | (first == 0)
    before = (blocks + BLOCK - 1 <= last - margin) | (last >= len(brightest) - 1)
    return np.asarray(after & before)


def _inside(shape: tuple[int, ...], shift: Shift) -> Floats:
    """1 for blocks that are still in the picture after a shift."""
    rows, columns = (np.arange(n) * BLOCK for n in shape)
    down = (rows + shift[1] >= 0) & (rows + shift[1] <= rows[-1])
    right = (columns + shift[0] >= 0) & (columns + shift[0] <= columns[-1])
    return np.asarray(down[:, None] & right[None], np.float32)


def _moved(blocks: Floats, shift: Shift) -> Floats:
    """Blocks as they lie under a shift by pixels."""
    import cv2

    if shift == (0, 0):
        return blocks
    matrix = np.array([[1, 0, -shift[0] / BLOCK], [0, 1, -shift[1] / BLOCK]], np.float32)
    moved: Floats = cv2.warpAffine(blocks, matrix, blocks.shape[1::-1])
    return moved


def whole_shift(a: Look, b: Look) -> tuple[Shift, float]:
    """The shift under which two pictures correlate best, and how well: 0 to 1.

    Normalised by what both show in the overlap; small overlaps count less, for in few pixels chance
    finds more.
    """
    (fa, fa2), (fb, fb2) = a.spectra, b.spectra
    shape = (2 * (a.detail.shape[0] // 2), 2 * (a.detail.shape[1] // 2))
    whole, area = _ones(shape)
    energy = np.maximum(_correlated(fa2, whole, shape), 0) * np.maximum(
        _correlated(whole, fb2, shape), 0
    )
    overlap = np.minimum(area / area[0, 0], 1)
    faint = (0.02 * area[0, 0]) ** 2
    fit = _correlated(fa, fb, shape) / np.sqrt(energy + faint) * np.sqrt(np.minimum(1, 2 * overlap))
    fit[overlap < LEAST_OVERLAP] = -1
    y, x = divmod(int(np.argmax(fit)), shape[1])
    best = float(fit[y, x])
    y, x = (v - n if v >= n // 2 else v for v, n in zip((y, x), shape, strict=True))
    return (2 * x, 2 * y), max(best, 0.0)


@cache
def _ones(shape: Shift) -> tuple[Complex, Floats]:
    """Of a picture of ones: its spectrum, and how much of it overlaps under each shift."""
    whole = _spectrum(np.ones((shape[0] // 2, shape[1] // 2), np.float32))
    return whole, np.maximum(_correlated(whole, whole, shape), 0)


def _spectrum(image: Floats) -> Complex:
    return np.fft.rfft2(image, (2 * image.shape[0], 2 * image.shape[1])).astype(np.complex64)


def _correlated(a: Complex, b: Complex, shape: tuple[int, int]) -> Floats:
    return np.asarray(np.fft.irfft2(np.conj(a) * b, shape), np.float32)


def by_block(image: Floats) -> Floats:
    """The mean of each block."""
    import cv2

    height, width = image.shape
    means: Floats = cv2.resize(
        image, (width // BLOCK, height // BLOCK), interpolation=cv2.INTER_AREA
    )
    return means
