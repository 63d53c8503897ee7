"""Films of YouTube, and of whatever else yt-dlp reads."""

from brickfilm.sources.youtube.settings import Connection, RateLimits
from brickfilm.sources.youtube.source import YouTubeSource

__all__ = ["Connection", "RateLimits", "YouTubeSource"]
