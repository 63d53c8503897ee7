"""The rendered films that shot detection is tuned on, and the others that it is judged on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Literal

from tests.brickworld import VFR, BrickFilm

Split = Literal["tuning", "judging"]
SPLITS: tuple[Split, ...] = ("tuning", "judging")

KINDS: dict[Split, dict[str, tuple[str, ...]]] = {
    "tuning": {
        "scene": ("street", "castle", "space"),
        "palette": ("classic", "pastel", "earth"),
        "camera": ("static", "nudge", "whip"),
        "lighting": ("day", "dusk", "lamp"),
    },
    "judging": {
        "scene": ("harbour", "forest"),
        "palette": ("neon", "winter"),
        "camera": ("pan", "dolly", "handheld"),
        "lighting": ("night", "overcast"),
    },
}
"""Nothing that is judged was ever seen in tuning: no seed, set, palette, camera or lighting."""

FIRST_SEED: dict[Split, int] = {"tuning": 1000, "judging": 9000}
SIZE = (320, 180)


@dataclass(frozen=True)
class Cell:
    """Films of one difficulty, counted together."""

    name: str
    bar: float
    """F1 at tolerance 1 that ours must reach."""
    settings: dict[str, Any] = field(default_factory=dict)


def cells() -> list[Cell]:
    """Holds by speeds, then each hardship by itself, on twos and threes."""
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
class Drawn:
    """A film of the corpus on disk, and what is true of it."""

    cell: Cell
    path: Path
    facts: dict[str, Any]
    """`Truth.save`, as it was when drawn: a renderer that learns changes no judgement."""

    @property
    def kind(self) -> str:
        """As the renderer says it: held drawings make stop motion."""
        if "kind" in self.facts:
            return str(self.facts["kind"])
        held = any(s["hold"] > 1 for s in self.facts["shots"] if s["kind"] == "action")
        return "stop-motion" if held else "ordinary"


def corpus(
    folder: Path, split: Split, *, films: int = 2, seconds: float = 20, only: str = ""
) -> Iterator[Drawn]:
    """The split's films, drawn where the folder lacks them: `films` for every cell."""
    folder.mkdir(parents=True, exist_ok=True)
    for row, cell in enumerate(cells()):
        for number in range(films):
            if only in cell.name:
                yield _drawn(folder, split, cell, 10 * row + number, seconds)


def _drawn(folder: Path, split: Split, cell: Cell, number: int, seconds: float) -> Drawn:
    film = BrickFilm(
        seed=FIRST_SEED[split] + number,
        length=seconds,
        size=SIZE,
        **_turn(split, number),
        **cell.settings,
    )
    path = folder / f"{split}-{cell.name.replace(' ', '-')}-{film.seed}.mp4"
    if not path.exists():
        unfinished = path.with_suffix(".part.mp4")
        truth = film.render(unfinished)
        truth.save(path.with_suffix(".json"))
        unfinished.replace(path)
    facts = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    return Drawn(cell, path, facts)


def _turn(split: Split, number: int) -> dict[str, str]:
    """Each kind in its turn, at paces that do not march together."""
    kinds = KINDS[split].items()
    at = number // 10 + number % 10
    return {
        name: words[(at + at // len(words) * pace) % len(words)]
        for pace, (name, words) in enumerate(kinds)
    }
