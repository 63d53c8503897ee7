"""`layout`, the default detector, and `joint` and `transnetv2`, which need the extra `shots`."""

from brickfilm.detectors.transnetv2.detector import TransNetV2
from brickfilm.detectors.transnetv2.joint import JointDetector
from brickfilm.detectors.transnetv2.network import is_installed

__all__ = ["JointDetector", "TransNetV2", "is_installed"]
