"""Find a shot detector by its name."""

from __future__ import annotations

from collections.abc import Callable

from brickfilm.detectors import (
    Adaptive,
    Content,
    Detector,
    HoldAware,
    JointDetector,
    TransNetV2,
)
from brickfilm.errors import UsageError

AUTO = "auto"
FIRST_DETECTOR = "holds"
"""Detector of builds before plans recorded it, and of stages that no build has given another."""
DETECTORS_BY_NAME: dict[str, Callable[[], Detector]] = {
    "holds": HoldAware,
    "layout": lambda: JointDetector(holds=HoldAware(), asks_network=False, rule=3),
    "joint": lambda: JointDetector(holds=HoldAware(), rule=3),
    "transnetv2": TransNetV2,
    "adaptive": Adaptive,
    "content": Content,
}


def named_detector(name: str) -> Detector:
    """Return the detector of a name; 'auto' is the first one, which a build replaces."""
    if name != AUTO and name not in DETECTORS_BY_NAME:
        names = ", ".join((AUTO, *DETECTORS_BY_NAME))
        raise UsageError(f"SceneSplitter(detector={name!r}): give {names} or a Detector")
    return DETECTORS_BY_NAME[FIRST_DETECTOR if name == AUTO else name]()
