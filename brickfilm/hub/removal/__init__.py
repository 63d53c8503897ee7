"""Remove clips permanently: from the work folder, its saved dataset, and the Hub."""

from brickfilm.hub.removal.removal_report import (
    NothingToRemoveError,
    PartialRemovalError,
    RemovalReport,
)
from brickfilm.hub.removal.remove import remove
from brickfilm.hub.removal.request import MatchedRows, RemovalRequest, find_rows

__all__ = [
    "MatchedRows",
    "NothingToRemoveError",
    "PartialRemovalError",
    "RemovalReport",
    "RemovalRequest",
    "find_rows",
    "remove",
]
