"""Take clips out for good: of the work folder, of its saved dataset, and of what was published."""

from __future__ import annotations

from brickfilm.hub.removal.remove import (
    MatchedRows,
    NothingToRemoveError,
    PartialRemovalError,
    RemovalReport,
    RemovalRequest,
    find_rows,
    pluralize,
    record_removed_rows,
    remove,
)

__all__ = [
    "MatchedRows",
    "NothingToRemoveError",
    "PartialRemovalError",
    "RemovalReport",
    "RemovalRequest",
    "find_rows",
    "pluralize",
    "record_removed_rows",
    "remove",
]
