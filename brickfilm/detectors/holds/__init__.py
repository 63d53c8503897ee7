"""The default detector: shots of films whose poses are held, and of all others."""

from brickfilm.detectors.holds.detector import HoldAware

__all__ = ["HoldAware"]
