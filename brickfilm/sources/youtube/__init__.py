"""Videos from YouTube, and from other sites that yt-dlp supports."""

from brickfilm.sources.youtube.settings import Connection, RateLimits
from brickfilm.sources.youtube.source import YouTubeSource

__all__ = ["Connection", "RateLimits", "YouTubeSource"]
