"""A title card: words laid in small plates on a studded base."""

from __future__ import annotations

import numpy as np

from tests.brickworld.bricks import plate
from tests.brickworld.kinds import Array
from tests.brickworld.mesh import Mesh, merge
from tests.brickworld.palette import Palette, plastic
from tests.brickworld.props import baseplate
from tests.brickworld.stage import Stage, View

GLYPHS = {
    "A": "01110 10001 10001 11111 10001 10001 10001",
    "B": "11110 10001 10001 11110 10001 10001 11110",
    "C": "01111 10000 10000 10000 10000 10000 01111",
    "D": "11110 10001 10001 10001 10001 10001 11110",
    "E": "11111 10000 10000 11110 10000 10000 11111",
    "F": "11111 10000 10000 11110 10000 10000 10000",
    "G": "01111 10000 10000 10011 10001 10001 01111",
    "H": "10001 10001 10001 11111 10001 10001 10001",
    "I": "111 010 010 010 010 010 111",
    "J": "00111 00010 00010 00010 00010 10010 01100",
    "K": "10001 10010 10100 11000 10100 10010 10001",
    "L": "10000 10000 10000 10000 10000 10000 11111",
    "M": "10001 11011 10101 10101 10001 10001 10001",
    "N": "10001 11001 10101 10101 10011 10001 10001",
    "O": "01110 10001 10001 10001 10001 10001 01110",
    "P": "11110 10001 10001 11110 10000 10000 10000",
    "Q": "01110 10001 10001 10001 10101 10010 01101",
    "R": "11110 10001 10001 11110 10100 10010 10001",
    "S": "01111 10000 10000 01110 00001 00001 11110",
    "T": "11111 00100 00100 00100 00100 00100 00100",
    "U": "10001 10001 10001 10001 10001 10001 01110",
    "V": "10001 10001 10001 10001 10001 01010 00100",
    "W": "10001 10001 10001 10101 10101 11011 10001",
    "X": "10001 10001 01010 00100 01010 10001 10001",
    "Y": "10001 10001 01010 00100 00100 00100 00100",
    "Z": "11111 00001 00010 00100 01000 10000 11111",
    " ": "000 000 000 000 000 000 000",
}
"""Seven rows of studs a letter."""


def card(words: str, palette: Palette) -> Stage:
    """The card as a set of its own, seen from above; a letter we do not have is a gap."""
    lines = [_letters(line) for line in words.upper().split("\n")]
    text = max(24, *(line.shape[1] for line in lines))
    wide, deep = text + 14, round(0.62 * (text + 14))
    base = plastic(palette.bright[1])
    parts: list[Mesh] = [baseplate(-wide / 2, -deep / 2, wide, deep, base)]
    for number, line in enumerate(lines):
        colour = plastic(palette.bright[(2, 3, 0)[number % 3]])
        left, top = -(line.shape[1] // 2), 9 * len(lines) // 2 - 9 * number
        for row, column in zip(*np.nonzero(line), strict=True):
            x, z = left + int(column) - (wide % 2) / 2, top - int(row) - (deep % 2) / 2
            parts.append(plate(x, 0, z, 1, 1, colour))
    away = (text + 6) * 0.92
    view = View(eye=(0, away, -away * 0.25), target=(0, 0, 0.4), angle=56, actors=())
    return Stage(still=merge(parts), actors=(), views=(view,), sky=palette.sky)


def _letters(line: str) -> Array:
    """[7, W] bool: the line in dots, one a stud."""
    glyphs = []
    for letter in line:
        rows = GLYPHS.get(letter, GLYPHS[" "]).split()
        glyphs.append(np.array([[dot == "1" for dot in f"{row}0"] for row in rows]))
    return np.concatenate(glyphs, axis=1) if glyphs else np.zeros((7, 1), bool)
