"""The row of a dataset as training needs it, and the columns that it may come in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

from finetune.errors import BadSample

MEDIA_COLUMNS = ("video", "image", "mp4", "webm", "jpg", "png", "webp")
"""Columns of media in a parquet file: brickfilm's, and those of a converted WebDataset."""
PATH_COLUMNS = (
    *("path", "file_name", "video", "image", "video_path", "image_path"),
    *("media_path", "file_path", "file"),
)
"""Columns of a path in a CSV or JSON table, as trainers and `datasets` name them."""
CAPTION_COLUMNS = ("caption", "text", "prompt", "cap", "txt")
FILE, TAR_MEMBER = -1, -2
"""In the place of a row group: the file is the media itself, or a tar that holds it."""


@dataclass(frozen=True, kw_only=True)
class DatasetRow:
    """A clip or an image, as training needs it."""

    sha256: bytes  # of the media, 32 bytes
    caption: str
    frames: int
    fps: Fraction
    height: int  # as displayed
    width: int
    file: str  # a parquet file, a tar (row_group TAR_MEMBER), or the media itself (FILE)
    row_group: int
    row_in_group: int  # of a tar: the member's header, in blocks of 512 bytes
    drawings: tuple[int, ...] = ()  # first frame of each drawing, 0 first; empty: not measured


Stamp = list[object]
"""Name, size and time of modification (ns) of a file, or a digest of those of many."""


class RowSource(Protocol):
    """A part of a dataset that yields rows: a table, a tar, or a folder of media."""

    def stamps(self) -> list[Stamp]:
        """Return stamps that change when a file of it does."""
        ...

    def rows(self) -> Iterator[DatasetRow | BadSample]:
        """Yield its rows in order; an unreadable one as the BadSample that describes it."""
        ...


def file_stamp(file: Path) -> Stamp:
    """Return name, size and time of modification of a file."""
    stat = file.stat()
    return [str(file), stat.st_size, stat.st_mtime_ns]
