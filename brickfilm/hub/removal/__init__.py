"""Take clips out for good: of the work folder, of its saved dataset, and of what was published."""

from __future__ import annotations

from brickfilm.hub.removal.remove import (
    Found,
    NothingToRemove,
    Removal,
    Request,
    StillPublished,
    find_rows,
    many,
    note_removed,
    remove,
)

__all__ = [
    "Found",
    "NothingToRemove",
    "Removal",
    "Request",
    "StillPublished",
    "find_rows",
    "many",
    "note_removed",
    "remove",
]
