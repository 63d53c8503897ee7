"""Render the pixels of a frame of the script."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, TypeVar

import cv2
import numpy as np

from tests.brickworld.card import card
from tests.brickworld.choices import SPEEDS
from tests.brickworld.kinds import Array
from tests.brickworld.light import LIGHTINGS
from tests.brickworld.mesh import Mesh, merge
from tests.brickworld.moves import MARGIN, Aim, aim, warp
from tests.brickworld.palette import PALETTES
from tests.brickworld.plate import LitSet, Plate, light_set
from tests.brickworld.script import Exposure, Shot
from tests.brickworld.sets import build_set
from tests.brickworld.stage import Stage, View

if TYPE_CHECKING:
    from tests.brickworld.film import BrickFilm

T = TypeVar("T")
KEPT_PLATES = 6
"""Set-ups kept in memory, some 20 MB each at 640x360: a film cuts back to its last few."""


class Shelf:
    """The last few things made, by what they were made from."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.things: dict[Hashable, object] = {}

    def take(self, key: Hashable, make: Callable[[], T]) -> T:
        thing = self.things.pop(key) if key in self.things else make()
        self.things[key] = thing
        while len(self.things) > self.room:
            self.things.pop(next(iter(self.things)))
        return thing  # type: ignore[return-value]


class Camera:
    """Expose the frames of one film."""

    def __init__(self, film: BrickFilm) -> None:
        self.film = film
        self.sets, self.lit, self.plates = Shelf(3), Shelf(3), Shelf(KEPT_PLATES)
        self.drawings = Shelf(3)
        width, height = film.size
        rng = np.random.default_rng(film.seed)
        self.grain = rng.normal(0, 1, (height + 64, width + 64, 1)).astype(np.float32)
        self.vignette = _vignette(width, height)

    def expose(self, frame: Exposure, number: int) -> Array:
        """Frame `number` of the film, [H, W, 3] uint8 RGB, the caller's own."""
        picture = self._drawing(frame.shot, frame.drawing)
        if frame.over and frame.wipes:
            edge = round(frame.mix * picture.shape[1])
            picture = np.hstack([self._drawing(*frame.over)[:, :edge], picture[:, edge:]])
        elif frame.over:
            picture = cv2.addWeighted(
                picture, 1 - frame.mix, self._drawing(*frame.over), frame.mix, 0
            )
        if frame.level < 1:
            picture = cv2.convertScaleAbs(picture, alpha=frame.level)
        if self.film.held_noise:
            picture = self._noisy(picture, self.film.held_noise, f"frame {number}")
        return picture.copy()

    def _drawing(self, shot: int, drawing: int) -> Array:
        return self.drawings.take((shot, drawing), lambda: self._take(shot, drawing))

    def _take(self, number: int, drawing: int) -> Array:
        """One press of the shutter."""
        shot = self.film.script[number]
        seed = f"{self.film.seed} {number}"
        pace = SPEEDS[shot.speed or "medium"]
        seconds = float(drawing * (shot.hold or 1) / self.film.fps) * pace
        total = float(shot.length(self.film.fps) / self.film.fps) * pace
        at = aim(shot.camera or "static", seconds, drawing, total, seed, pace)
        plate, view = self._plate(shot)
        actors = None
        if shot.kind != "title":
            stage = self._stage(shot)
            actors = _posed(stage, view, Random(seed).uniform(0, 20) + seconds, f"{seed} {drawing}")
        picture = plate.draw(actors)
        if at != Aim() or plate.size != self.film.size:
            picture = cv2.warpAffine(
                picture,
                warp(at, plate.size, self.film.size),
                self.film.size,
                flags=cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            )
        return self._developed(picture, self._exposure(shot, number, drawing), f"{seed} {drawing}")

    def _exposure(self, shot: Shot, number: int, drawing: int) -> float:
        """Brightness: flicker from drawing to drawing, and the flash."""
        rng = Random(f"light {self.film.seed} {number} {drawing}")
        level = max(0.3, 1 + rng.gauss(0, self.film.flicker))
        drawings = shot.length(self.film.fps) // (shot.hold or 1)
        return level * 2.6 if shot.flash and drawing == max(1, drawings // 2) else level

    def _developed(self, picture: Array, level: float, seed: str) -> Array:
        """Vignette, exposure and the sensor's noise."""
        picture = cv2.multiply(picture, self.vignette, scale=level / 255)
        return self._noisy(picture, self.film.noise, seed) if self.film.noise else picture

    def _noisy(self, picture: Array, strength: float, seed: str) -> Array:
        rng = Random(seed)
        y, x = rng.randrange(64), rng.randrange(64)
        height, width = picture.shape[:2]
        grain = cv2.merge([self.grain[y : y + height, x : x + width] * strength] * 3)
        noisy: Array = cv2.add(picture, grain, dtype=cv2.CV_8U)
        return noisy

    def _stage(self, shot: Shot) -> Stage:
        if shot.kind == "title":
            key: Hashable = ("title", shot.words, shot.palette)
            return self.sets.take(key, lambda: card(shot.words, PALETTES[shot.palette or ""]))
        return self.sets.take(
            (shot.scene, shot.palette),
            lambda: build_set(shot.scene or "", shot.palette or "", self.film.seed),
        )

    def _plate(self, shot: Shot) -> tuple[Plate, View]:
        """The shot's set-up, and its camera position (a little different in every film)."""
        stage = self._stage(shot)
        number = (shot.view or 0) % len(stage.views)
        view = _shifted(stage.views[number], Random(f"view {self.film.seed} {number}"))
        margin = MARGIN[shot.camera or "static"]
        width, height = (2 * round(s * m / 2) for s, m in zip(self.film.size, margin, strict=True))
        lighting = "day" if shot.kind == "title" else shot.lighting or "day"
        place = (shot.kind == "title", shot.words, shot.scene, shot.palette, lighting)
        lit: LitSet = self.lit.take(place, lambda: light_set(stage, LIGHTINGS[lighting]))
        plate = self.plates.take(
            (place, number, width, height),
            lambda: Plate(lit, view, (width, height), self.film.size[0]),
        )
        return plate, view


def _shifted(view: View, rng: Random) -> View:
    eye = tuple(v * (1 + rng.uniform(-0.06, 0.06)) for v in view.eye)
    return replace(view, eye=eye)  # type: ignore[arg-type]


def _posed(stage: Stage, view: View, seconds: float, seed: str) -> Mesh | None:
    """The actors of the view at a moment, each a hair off, as hands leave them."""
    chosen = range(len(stage.actors)) if view.actors is None else view.actors
    if not chosen:
        return None
    rng = Random(seed)
    posed = []
    for n in chosen:
        actor = stage.actors[n]
        mesh = actor.mesh.posed(actor.act(seconds))
        posed.append(mesh.moved(rng.gauss(0, 0.015), 0, rng.gauss(0, 0.015)))
    return merge(posed)


def _vignette(width: int, height: int) -> Array:
    """[H, W, 3] uint8: darker towards the corners."""
    x, y = np.linspace(-1, 1, width), np.linspace(-1, 1, height)[:, None]
    light = 255 * (1 - 0.16 * np.clip((x**2 + y**2) / 2, 0, 1) ** 1.4)
    return np.repeat(light[..., None], 3, axis=2).astype(np.uint8)
