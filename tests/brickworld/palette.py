"""Colours of plastic, by role, for each palette."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from tests.brickworld.mesh import Colour


def plastic(code: str) -> Colour:
    """'#rrggbb' as linear light (gamma 2, which the renderer's square root undoes)."""
    return tuple((int(code[n : n + 2], 16) / 255) ** 2 for n in (1, 3, 5))  # type: ignore[return-value]


@dataclass(frozen=True, kw_only=True)
class Palette:
    """The colours of a set."""

    bright: tuple[str, ...]
    """Walls, cars, torsos."""
    green: str
    road: str
    stone: str
    stone_dark: str
    wood: str
    water: str
    sand: str
    leaf: tuple[str, ...]
    sky: tuple[str, str]
    """At the horizon and above."""
    skin: str = "#f6cf3c"

    def pick(self, rng: Random, *, but: tuple[Colour, ...] = ()) -> Colour:
        """One of the bright colours."""
        colours = [plastic(code) for code in self.bright]
        return rng.choice([colour for colour in colours if colour not in but] or colours)


PALETTES = {
    "classic": Palette(
        bright=("#c9201f", "#0d5fb3", "#f2c31b", "#f4f4f0", "#1f8a3f", "#e8761b", "#58abdb"),
        green="#3f9a42",
        road="#5d6266",
        stone="#a3a7a8",
        stone_dark="#6c7072",
        wood="#6b3d22",
        water="#1f74b8",
        sand="#dcc692",
        leaf=("#2f8438", "#47a03f", "#226a33"),
        sky=("#dcebf5", "#7fb6e3"),
    ),
    "pastel": Palette(
        bright=("#f0a7b8", "#9fd0e8", "#f7e59a", "#fdfaf2", "#b7dfb0", "#c9b2e3", "#f5bf94"),
        green="#a6cf8a",
        road="#9c98a6",
        stone="#d2ccd3",
        stone_dark="#a8a0ae",
        wood="#b08a6a",
        water="#8cc7dc",
        sand="#f1dfc0",
        leaf=("#92c58c", "#b5d98f", "#f0b6c8"),
        sky=("#fdeee6", "#c3d9ee"),
    ),
    "earth": Palette(
        bright=("#a5482a", "#c99a3a", "#7b8a45", "#e6d7b4", "#5a6f7a", "#8a3b3b", "#d67b3f"),
        green="#7f8f43",
        road="#75685a",
        stone="#a99a83",
        stone_dark="#74685a",
        wood="#5a3a24",
        water="#4c7f86",
        sand="#cfae78",
        leaf=("#6f7f35", "#a27a2c", "#8a4f26"),
        sky=("#f0dfc0", "#b9b79c"),
    ),
    "neon": Palette(
        bright=("#ff2f7d", "#18c7d9", "#c3f52c", "#f7f2ff", "#7a2ff0", "#ff8a1f", "#2f6bff"),
        green="#2a6e63",
        road="#3a3f55",
        stone="#7d83a3",
        stone_dark="#4a4f6e",
        wood="#513a6b",
        water="#1b4fb8",
        sand="#b48fd0",
        leaf=("#1fa687", "#31cfa0", "#d13fb0"),
        sky=("#f1b6d9", "#6a6bd0"),
    ),
    "winter": Palette(
        bright=("#b3262b", "#2c5f8f", "#e9eef2", "#f7f9fa", "#3d6e5a", "#8fb7d1", "#d9a441"),
        green="#eef3f6",
        road="#8f9aa3",
        stone="#b9c3ca",
        stone_dark="#7f8b95",
        wood="#5d4030",
        water="#86b4cc",
        sand="#dfe6ea",
        leaf=("#2f5f4d", "#dfe9ee", "#3f7560"),
        sky=("#f1f4f6", "#b4cbdc"),
    ),
}
