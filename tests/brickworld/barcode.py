"""Draw a frame's number into the frame as a barcode, and read it back.

24 square cells in the lower left corner: white, black, 16 bits of Gray code (one bit changes
from frame to frame), four bits of checksum, black, white. A cell is 2/45 of the height, 8 pixels
at 180 lines: the size of one transform block, so the code survives x264 at crf 23 and a
reduction to 320x180.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from tests.brickworld.choices import RenderError

if TYPE_CHECKING:
    from tests.brickworld.kinds import Array

BITS = 16
CELLS = BITS + 8
GUARD = (1, 0)
DARK, LIGHT = 16, 235


class NoBarcode(RenderError):
    """The frame has no readable number."""


def _checksum(number: int) -> int:
    return (5 + sum((number >> shift & 15) * (shift + 1) for shift in range(0, BITS, 4))) % 16


def _cells(number: int) -> list[int]:
    gray = number ^ (number >> 1)
    bits = [gray >> bit & 1 for bit in reversed(range(BITS))]
    bits += [_checksum(number) >> bit & 1 for bit in reversed(range(4))]
    return [*GUARD, *bits, *reversed(GUARD)]


def _edges(height: int, width: int) -> list[int]:
    """Return the pixel columns of the cells' borders, from the frame's shape alone."""
    cell = min(height * 2 / 45, width / (CELLS + 1))
    return [round(cell * n) for n in range(CELLS + 1)]


def draw_barcode(frame: Array, number: int) -> None:
    """Write `number` (0..65535) into `frame` [H, W, 3] uint8, in place."""
    if not 0 <= number < 1 << BITS:
        raise RenderError(f"frame {number} does not fit {BITS} bits: shorten the film")
    edges = _edges(*frame.shape[:2])
    for left, right, bit in zip(edges, edges[1:], _cells(number), strict=False):
        frame[-edges[1] :, left:right] = LIGHT if bit else DARK


def read_barcode(frame: Array) -> int:
    """Return the number in `frame` ([H, W] or [H, W, 3] uint8, any size of the same shape).

    Raises NoBarcode where the guards or the checksum are wrong: a blend, or no code at all.
    """
    height, width = frame.shape[:2]
    edges = _edges(height, width)
    strip = frame[-edges[1] :].reshape(edges[1], width, -1).mean(axis=2)
    inner = slice(edges[1] // 4, max(edges[1] // 4 + 1, edges[1] * 3 // 4))
    levels = []
    for left, right in pairwise(edges):
        quarter = (right - left) // 4
        levels.append(float(strip[inner, left + quarter : max(left + 1, right - quarter)].mean()))
    middle = (levels[0] + levels[1]) / 2
    bits = [int(level > middle) for level in levels]
    gray = int("".join(map(str, bits[2 : 2 + BITS])), 2)
    number = gray
    while gray := gray >> 1:
        number ^= gray
    if levels[0] - levels[1] < 60 or bits != _cells(number):
        raise NoBarcode(f"no frame number in this {width}x{height} frame: render with barcode=True")
    return number
