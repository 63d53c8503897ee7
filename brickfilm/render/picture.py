"""Placeholder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from brickfilm.render.kinds import Array
from brickfilm.render.script import Exposure, Shot

if TYPE_CHECKING:
    from brickfilm.render.film import BrickFilm


def caption(shot: Shot, *, seed: int) -> str:
    """A caption of what the shot shows."""
    return shot.caption or f"A {shot.scene} built from studded blocks, with small figures moving."


class Camera:
    """Draws exposures."""

    def __init__(self, film: BrickFilm) -> None:
        self.film = film

    def expose(self, frame: Exposure, number: int) -> Array:
        import cv2
        import numpy as np

        def one(shot: int, drawing: int) -> Array:
            rng = np.random.default_rng([self.film.seed, shot])
            width, height = self.film.size
            small = rng.integers(30, 220, (6, 10, 3), dtype=np.uint8)
            picture = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
            x = int(rng.integers(0, width) + drawing * width * 0.03) % width
            cv2.rectangle(picture, (x, height // 3), (x + width // 8, height), (250, 200, 20), -1)
            return picture

        picture = one(frame.shot, frame.drawing).astype(np.float32)
        if frame.over:
            picture += frame.mix * (one(*frame.over) - picture)
        lit: Array = (picture * frame.level).astype(np.uint8)
        return lit
