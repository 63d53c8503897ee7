"""How the camera moves over a plate: a pure function of the drawing."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi, sin
from random import Random

import numpy as np

from brickfilm.render.kinds import Array

MARGIN = {
    "static": (1.0, 1.0),
    "pan": (1.6, 1.0),
    "dolly": (1.2, 1.2),
    "nudge": (1.12, 1.12),
    "handheld": (1.08, 1.08),
    "whip": (1.8, 1.0),
}
"""Size of the plate in frames, wide and high."""


@dataclass(frozen=True)
class Aim:
    """Where the frame sits on the plate: its middle in frame widths and heights, and its zoom."""

    x: float = 0.0
    y: float = 0.0
    zoom: float = 1.0
    roll: float = 0.0
    """Degrees."""


def aim(camera: str, seconds: float, drawing: int, total: float, seed: str) -> Aim:
    """The camera `seconds` (at the film's pace) into a shot of `total` seconds."""
    rng = Random(seed)
    side = rng.choice((-1, 1))
    if camera == "pan":
        return Aim(x=side * 0.28 * cos(pi * seconds / rng.uniform(3.2, 5.0)))
    if camera == "dolly":
        start = rng.choice((0.0, pi))
        return Aim(zoom=1.17 + 0.16 * cos(start + pi * seconds / rng.uniform(3.5, 5)))
    if camera == "nudge":
        return _nudge(drawing, rng)
    if camera == "handheld":
        shaky = Random(f"{seed} {drawing}")
        return Aim(
            shaky.uniform(-0.012, 0.012),
            shaky.uniform(-0.015, 0.015),
            1.0,
            shaky.uniform(-0.4, 0.4),
        )
    if camera == "whip":
        turn = np.clip((seconds - total * rng.uniform(0.4, 0.6)) / 0.25, 0, 1)
        return Aim(x=side * 0.38 * cos(pi * float(turn)))
    return Aim()


def _nudge(drawing: int, rng: Random) -> Aim:
    """A hand knocks the camera now and then; it stays where it was knocked to."""
    at = Aim()
    due = rng.randint(3, 7)
    for n in range(1, drawing + 1):
        if n == due:
            at = Aim(rng.uniform(-0.03, 0.03), rng.uniform(-0.03, 0.03), 1.0, rng.uniform(-1, 1))
            due = n + rng.randint(4, 11)
    return at


def sway(seconds: float) -> float:
    """Degrees by which a held lamp swings."""
    return 3 * sin(seconds)


def warp(at: Aim, plate: tuple[int, int], frame: tuple[int, int]) -> Array:
    """[2, 3] matrix from plate pixels to frame pixels."""
    zoom = at.zoom
    turn = np.radians(at.roll)
    linear = zoom * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    middle = np.array([plate[0] / 2 + at.x * frame[0], plate[1] / 2 + at.y * frame[1]])
    shift = np.array([frame[0] / 2, frame[1] / 2]) - linear @ middle
    return np.column_stack([linear, shift]).astype(np.float32)
