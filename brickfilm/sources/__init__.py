"""Sources of videos. A new source is one new file and a line here."""

from brickfilm.sources.folder import FolderSource
from brickfilm.sources.youtube import Connection, RateLimits, YouTubeSource

__all__ = ["Connection", "FolderSource", "RateLimits", "YouTubeSource"]
