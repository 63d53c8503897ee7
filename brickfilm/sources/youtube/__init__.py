"""Films of YouTube, and of whatever else yt-dlp reads."""

from brickfilm.sources.youtube.settings import Access, Politeness
from brickfilm.sources.youtube.source import YouTubeSource

__all__ = ["Access", "Politeness", "YouTubeSource"]
