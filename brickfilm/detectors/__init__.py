"""Shot detectors. A new one is a file here and a line in this list."""

from brickfilm.detectors.base import Detector, shots_from_cuts
from brickfilm.detectors.holds import HoldAware
from brickfilm.detectors.pyscenedetect import Adaptive, Content

__all__ = [
    "Adaptive",
    "Content",
    "Detector",
    "HoldAware",
    "shots_from_cuts",
]
