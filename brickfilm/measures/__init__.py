"""What a clip is worth, in numbers: one file each."""

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
