"""Read videos that are already on this machine."""

from brickfilm.sources.folder.probe import Probe
from brickfilm.sources.folder.source import FolderSource

__all__ = ["FolderSource", "Probe"]
