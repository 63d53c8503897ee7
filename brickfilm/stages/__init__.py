"""The stages. A new one is one new file, and a line here."""

from brickfilm.stages.keep import Keep

__all__ = ["Keep"]
