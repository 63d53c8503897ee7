"""Render brick films from a seed, with known cuts, held frames and timestamps, for tests.

truth = BrickFilm(seed=7, holds=(3, 4), speed="fast").render("film.mp4")
truth.cuts             # where a shot detector should cut, to the frame
truth.new_drawing      # which frames a cadence measure should call new
"""

from __future__ import annotations

from tests.brickworld.barcode import read_barcode
from tests.brickworld.choices import CAMERAS, LIGHTINGS, PALETTES, SCENES, SPEEDS, VFR
from tests.brickworld.demo import demo_film, render_demo
from tests.brickworld.film import BrickFilm
from tests.brickworld.script import Shot
from tests.brickworld.truth import ShotTruth, Truth

__all__ = [
    "CAMERAS",
    "LIGHTINGS",
    "PALETTES",
    "SCENES",
    "SPEEDS",
    "VFR",
    "BrickFilm",
    "Shot",
    "ShotTruth",
    "Truth",
    "demo_film",
    "read_barcode",
    "render_demo",
]
