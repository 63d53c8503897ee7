"""Base of sources that download: the protocol, the stage, files with sidecars, the lock file."""

from brickfilm.sources.base.downloads import (
    PARTIAL_SUFFIXES,
    SOURCES_FOLDER,
    DownloadStage,
    FetchingSource,
    PictureStage,
    RefetchFunction,
    SourceFile,
    SourceMetadata,
    all_source_metadata,
    check_choice,
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
