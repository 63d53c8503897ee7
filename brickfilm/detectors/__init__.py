"""Shot detectors. A new one is a file here and a line in this list."""

from brickfilm.detectors.base import Detector, shots_from_cuts
from brickfilm.detectors.holds import HoldAware
from brickfilm.detectors.pyscenedetect import Adaptive, Content
from brickfilm.detectors.transnetv2 import JointDetector, TransNetV2, is_installed

__all__ = [
    "Adaptive",
    "Content",
    "Detector",
    "HoldAware",
    "JointDetector",
    "TransNetV2",
    "is_installed",
    "shots_from_cuts",
]
