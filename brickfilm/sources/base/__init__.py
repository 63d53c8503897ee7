"""Base of sources that download: the protocol, the stage, files with sidecars, the lock file."""

from brickfilm.sources.base.downloads import (
    DownloadStage,
    FetchingSource,
    PictureStage,
    RefetchFunction,
    check_choice,
)
from brickfilm.sources.base.source_file import (
    PARTIAL_SUFFIXES,
    SOURCES_FOLDER,
    SourceFile,
    SourceMetadata,
    all_source_metadata,
    count_fetched_last_day,
    delete_downloads,
    lacks_picture,
)

__all__ = [
    "PARTIAL_SUFFIXES",
    "SOURCES_FOLDER",
    "DownloadStage",
    "FetchingSource",
    "PictureStage",
    "RefetchFunction",
    "SourceFile",
    "SourceMetadata",
    "all_source_metadata",
    "check_choice",
    "count_fetched_last_day",
    "delete_downloads",
    "lacks_picture",
]
