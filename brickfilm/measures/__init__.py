"""What a clip is worth, in numbers: one file each."""

from brickfilm.measures.freeze import Freeze
from brickfilm.measures.motion import Motion
from brickfilm.measures.sharpness import Sharpness
from brickfilm.observe import Measure

DEFAULT_MEASURES: tuple[Measure, ...] = (Motion(), Freeze(), Sharpness())

__all__ = ["DEFAULT_MEASURES", "Freeze", "Measure", "Motion", "Sharpness"]
