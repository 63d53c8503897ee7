"""Where footage comes from. A new source is one new file, and a line here."""

from brickfilm.sources.folder import FolderSource
from brickfilm.sources.youtube import Access, Politeness, YouTubeSource

__all__ = [
    "Access",
    "FolderSource",
    "Politeness",
    "YouTubeSource",
]
