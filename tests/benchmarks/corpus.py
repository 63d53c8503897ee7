"""Render the videos that shot detection is tuned on, and others that it is tested on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Literal

from tests.brickworld import VFR, BrickFilm

Split = Literal["tuning", "test"]
SPLITS: tuple[Split, ...] = ("tuning", "test")

KINDS: dict[Split, dict[str, tuple[str, ...]]] = {
    "tuning": {
        "scene": ("street", "castle", "space"),
        "palette": ("classic", "pastel", "earth"),
        "camera": ("static", "nudge", "whip"),
        "lighting": ("day", "dusk", "lamp"),
    },
    "test": {
        "scene": ("harbour", "forest"),
        "palette": ("neon", "winter"),
        "camera": ("pan", "dolly", "handheld"),
        "lighting": ("night", "overcast"),
    },
}
"""The splits share no seed, set, palette, camera or lighting."""

FIRST_SEED: dict[Split, int] = {"tuning": 1000, "test": 9000}
SIZE = (320, 180)


@dataclass(frozen=True)
class Cell:
    """Videos of one difficulty, counted together."""

    name: str
    required_f1: float
    """F1 at tolerance 1 that our detector must reach."""
    settings: dict[str, Any] = field(default_factory=dict)


def cells() -> list[Cell]:
    """Return the grid of holds and speeds, then single degradations on twos and threes."""
    grid = [
        Cell(f"hold {hold} {speed}", 0.95 if hold < 3 else 0.90, {"holds": (hold,), "speed": speed})
        for hold, speed in product((1, 2, 3, 4), ("slow", "medium", "fast"))
    ]
    hard: dict[str, dict[str, Any]] = {
        "flicker": {"flicker": 0.06},
        "fades": {"fades": 0.5},
        "flashes": {"flashes": 0.6},
        "held noise": {"held_noise": 3.0},
        **{f"vfr {pattern}": {"vfr": pattern} for pattern in VFR},
    }
    return grid + [Cell(name, 0.90, {"holds": (2, 3), **more}) for name, more in hard.items()]


@dataclass(frozen=True)
class RenderedFilm:
    """A video of the corpus on disk, and its truth."""

    cell: Cell
    path: Path
    truth: dict[str, Any]
    """Saved when the video was rendered, so that a changed renderer changes no result."""

    @property
    def kind(self) -> str:
        """Return the kind: with held drawings it is stop motion."""
        if "kind" in self.truth:
            return str(self.truth["kind"])
        held = any(s["hold"] > 1 for s in self.truth["shots"] if s["kind"] == "action")
        return "stop-motion" if held else "ordinary"


def corpus(
    folder: Path, split: Split, *, films: int = 2, seconds: float = 20, only: str = ""
) -> Iterator[RenderedFilm]:
    """Yield the split's videos, rendered where needed: `films` per cell."""
    folder.mkdir(parents=True, exist_ok=True)
    for row, cell in enumerate(cells()):
        for number in range(films):
            if only in cell.name:
                yield _render_once(folder, split, cell, 10 * row + number, seconds)


def _render_once(
    folder: Path, split: Split, cell: Cell, number: int, seconds: float
) -> RenderedFilm:
    film = BrickFilm(
        seed=FIRST_SEED[split] + number,
        length=seconds,
        size=SIZE,
        **_choices(split, number),
        **cell.settings,
    )
    path = folder / f"{split}-{cell.name.replace(' ', '-')}-{film.seed}.mp4"
    if not path.exists():
        unfinished = path.with_suffix(".part.mp4")
        truth = film.render(unfinished)
        truth.save(path.with_suffix(".json"))
        unfinished.replace(path)
    facts = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    return RenderedFilm(cell, path, facts)


def _choices(split: Split, number: int) -> dict[str, str]:
    """Return one value of each kind; kinds advance at different rates."""
    kinds = KINDS[split].items()
    at = number // 10 + number % 10
    return {
        name: words[(at + at // len(words) * pace) % len(words)]
        for pace, (name, words) in enumerate(kinds)
    }
