"""Measures of clips. A new one is a file here and a line in this list."""

from brickfilm.measures.cadence import Cadence
from brickfilm.measures.freeze import Freeze
from brickfilm.measures.motion import Motion
from brickfilm.measures.sharpness import Sharpness
from brickfilm.scan.analyzer import Measure

DEFAULT_MEASURES: tuple[Measure, ...] = (Motion(), Freeze(), Sharpness(), Cadence())

__all__ = [
    "Cadence",
    "Freeze",
    "Measure",
    "Motion",
    "Sharpness",
]
