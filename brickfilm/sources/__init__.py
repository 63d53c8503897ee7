"""Sources of videos. A new source is one new file and a line here."""

from brickfilm.sources.folder import FolderSource
from brickfilm.sources.remote import (
    HubSource,
    RemoteFolderSource,
    RemoteSource,
    UrlListSource,
    WebDatasetSource,
)
from brickfilm.sources.youtube import Connection, RateLimits, YouTubeSource

__all__ = [
    "Connection",
    "FolderSource",
    "HubSource",
    "RateLimits",
    "RemoteFolderSource",
    "RemoteSource",
    "UrlListSource",
    "WebDatasetSource",
    "YouTubeSource",
]
