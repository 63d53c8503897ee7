"""Move the camera over a plate, as a pure function of the drawing."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi
from random import Random

import numpy as np

from tests.brickworld.kinds import Array

MARGIN = {
    "static": (1.0, 1.0),
    "pan": (1.6, 1.0),
    "dolly": (1.2, 1.2),
    "nudge": (1.16, 1.16),
    "handheld": (1.12, 1.12),
    "whip": (1.8, 1.0),
}
"""Size of the plate in frames, wide and high."""


@dataclass(frozen=True)
class Aim:
    """Position of the frame on the plate: its middle in frame widths and heights, and its zoom."""

    x: float = 0.0
    y: float = 0.0
    zoom: float = 1.0
    roll: float = 0.0
    """Degrees."""


def aim(
    camera: str, seconds: float, drawing: int, total: float, seed: str, rough: float = 1.0
) -> Aim:
    """The camera `seconds` (at the film's pace) into a shot of `total` seconds.

    `rough` is how hard hands shake it, as a factor.
    """
    rng = Random(seed)
    side = rng.choice((-1, 1))
    if camera == "pan":
        return Aim(x=side * 0.28 * cos(pi * seconds / rng.uniform(3.2, 5.0)))
    if camera == "dolly":
        start = rng.choice((0.0, pi))
        return Aim(zoom=1.17 + 0.16 * cos(start + pi * seconds / rng.uniform(3.5, 5)))
    if camera == "nudge":
        return _nudge(drawing, rng, rough)
    if camera == "handheld":
        shaky = Random(f"{seed} {drawing}")
        far = min(0.03, 0.012 * rough)
        x, y, roll = (shaky.uniform(-far, far) for _ in range(3))
        return Aim(x=x, y=y, roll=30 * roll)
    if camera == "whip":
        turn = np.clip((seconds - total * rng.uniform(0.4, 0.6)) / 0.25, 0, 1)
        return Aim(x=side * 0.38 * cos(pi * float(turn)))
    return Aim()


def _nudge(drawing: int, rng: Random, rough: float) -> Aim:
    """A hand knocks the camera now and then; it stays where it was knocked to."""
    at, due = Aim(), rng.randint(3, 7)
    far = min(0.06, 0.03 * rough)
    for n in range(1, drawing + 1):
        if n == due:
            at = Aim(x=rng.uniform(-far, far), y=rng.uniform(-far, far), roll=rng.uniform(-1, 1))
            due = n + rng.randint(4, 11)
    return at


def warp(at: Aim, plate: tuple[int, int], frame: tuple[int, int]) -> Array:
    """[2, 3] matrix from plate pixels to frame pixels."""
    zoom = at.zoom
    turn = np.radians(at.roll)
    linear = zoom * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    middle = np.array([plate[0] / 2 + at.x * frame[0], plate[1] / 2 + at.y * frame[1]])
    shift = np.array([frame[0] / 2, frame[1] / 2]) - linear @ middle
    return np.column_stack([linear, shift]).astype(np.float32)
