"""The default shot detector, for stop motion and for ordinary video."""

from brickfilm.detectors.holds.detector import HoldAware

__all__ = ["HoldAware"]
