"""Read videos by address: from lists, datasets on the Hub, tar files and remote folders."""

from brickfilm.sources.remote.addresses import Access
from brickfilm.sources.remote.folder import RemoteFolderSource
from brickfilm.sources.remote.hub import HubSource
from brickfilm.sources.remote.source import RemoteSource
from brickfilm.sources.remote.url_list import UrlListSource
from brickfilm.sources.remote.webdataset import WebDatasetSource

__all__ = [
    "Access",
    "HubSource",
    "RemoteFolderSource",
    "RemoteSource",
    "UrlListSource",
    "WebDatasetSource",
]
