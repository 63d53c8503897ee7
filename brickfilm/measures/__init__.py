"""Measures of clips. A new one is a file here and a line in this list."""

from brickfilm.measures.blank import Blank
from brickfilm.measures.blockiness import Blockiness
from brickfilm.measures.cadence import Cadence
from brickfilm.measures.camera import CameraMotion
from brickfilm.measures.color_bars import ColorBars
from brickfilm.measures.exposure import Exposure
from brickfilm.measures.flicker import Flicker
from brickfilm.measures.freeze import Freeze
from brickfilm.measures.interlacing import Interlacing
from brickfilm.measures.letterbox import Letterbox
from brickfilm.measures.motion import Motion
from brickfilm.measures.overlay import Overlay
from brickfilm.measures.sharpness import Sharpness
from brickfilm.measures.text import TextShare
from brickfilm.measures.vmaf_motion import VmafMotion
from brickfilm.scan.analyzer import Measure

FIRST_MEASURES: tuple[Measure, ...] = (Motion(), Freeze(), Sharpness(), Cadence())
"""Measures of work folders that were built before the others were there."""
DEFAULT_MEASURES: tuple[Measure, ...] = (
    *FIRST_MEASURES,
    *(Exposure(), Blank(), ColorBars(), Flicker(), Letterbox(), Overlay(), TextShare()),
    *(CameraMotion(), Interlacing(), Blockiness()),
)
ALL_MEASURES: tuple[Measure, ...] = (*DEFAULT_MEASURES, VmafMotion())
MEASURE_SETS = {"first": FIRST_MEASURES, "default": DEFAULT_MEASURES, "all": ALL_MEASURES}
"""From the smallest to the largest."""

__all__ = [
    "Blank",
    "Blockiness",
    "Cadence",
    "CameraMotion",
    "ColorBars",
    "Exposure",
    "Flicker",
    "Freeze",
    "Interlacing",
    "Letterbox",
    "Measure",
    "Motion",
    "Overlay",
    "Sharpness",
    "TextShare",
    "VmafMotion",
]
