"""Captions from a table: by clip or image id, by video and time, or by file name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath

from brickfilm.captions.caption_files import (
    CAPTION_COLUMNS,
    TableRow,
    first_column,
    read_rows,
)
from brickfilm.captions.cues import Cue, CueIndex
from brickfilm.captions.request import ClipOrImage
from brickfilm.errors import UsageError
from brickfilm.records import Image

ID_COLUMNS = ("id", "image_id", "clip_id")
FILE_COLUMNS = ("file_name", "video", "file", "path", "source_id")
_CLIP_ID = re.compile(r"[0-9a-f]{16}-\d{6,}-\d{6,}(?:-f\d{6,})?")
"""Prefix of the names of the files that a build writes."""


class CaptionTable:
    """The captions of one file.

    A row is found by its `id` (or `clip_id`), else by `video` with `start` and `end` in seconds,
    else by `file_name`: of a clip that a build wrote, or of a whole video.
    """

    def __init__(self, rows: Sequence[TableRow], file: Path) -> None:
        self.by_id: dict[str, str] = {}
        self.by_file: dict[str, str] = {}
        cues: dict[str, list[Cue]] = {}
        caption = first_column(rows, CAPTION_COLUMNS, file) if rows else ""
        self._lines: dict[str, tuple[int, str]] = {}
        for row in (row for row in rows if row.cells[caption]):
            self._add(row, row.cells[caption], cues)
        self.by_video: Mapping[str, CueIndex] = {
            name: CueIndex(of_video) for name, of_video in cues.items()
        }

    @classmethod
    def read(cls, file: Path) -> CaptionTable:
        """Read a .csv, .jsonl or .parquet file; UsageError names a wrong line and its field."""
        try:
            return _read(file, file.stat().st_mtime_ns)
        except OSError as error:
            raise UsageError(f"{str(file)!r} cannot be read: {error}") from error

    def text_for(self, item: ClipOrImage) -> str:
        """Return the caption of a clip or an image, '' if the table has none."""
        ids = (item.id, item.clip.id) if isinstance(item, Image) else (item.id,)
        names = list(_names(item))
        cues = next((self.by_video[name] for name in names if name in self.by_video), None)
        found = (
            *(self.by_id.get(id, "") for id in ids),
            " ".join(cue_texts(item, cues)) if cues else "",
            *(self.by_file.get(name, "") for name in names),
        )
        return next((text for text in found if text), "")

    def _add(self, row: TableRow, text: str, cues: dict[str, list[Cue]]) -> None:
        item_id = next((row.cells[name] for name in ID_COLUMNS if row.cells.get(name)), "")
        file = next((row.cells[name] for name in FILE_COLUMNS if row.cells.get(name)), "")
        name = file.replace("\\", "/").removeprefix("./")
        if match := _CLIP_ID.match(PurePosixPath(name).name):
            item_id = item_id or match.group()
        if item_id:
            self._add_once(row, self.by_id, item_id, text)
        elif not name:
            wanted = ", ".join((*ID_COLUMNS, *FILE_COLUMNS))
            raise row.error(f"it names no clip and no video: fill one of {wanted}")
        elif row.cells.get("start") or row.cells.get("end"):
            cues.setdefault(name, []).append(_cue(row, text))
        else:
            self._add_once(row, self.by_file, name, text)

    def _add_once(self, row: TableRow, place: dict[str, str], name: str, text: str) -> None:
        line, known = self._lines.setdefault(name, (row.line, text))
        if known != text:
            raise row.error(f"{name!r} has another caption in line {line}")
        place[name] = text


def cue_texts(item: ClipOrImage, cues: CueIndex) -> list[str]:
    """Return the texts of a clip's span; of an image the one at its time, else its clip's."""
    if isinstance(item, Image):
        cue = cues.at(item.time)
        return [cue.text] if cue else cue_texts(item.clip, cues)
    return [cue.text for cue in cues.in_span(item.start, item.end)]


@lru_cache(maxsize=4)
def _read(file: Path, mtime_ns: int) -> CaptionTable:
    return CaptionTable(read_rows(file), file)


def _cue(row: TableRow, text: str) -> Cue:
    for column in ("start", "end"):
        if not row.cells.get(column):
            raise row.error(f"{column} is empty, while the other time is given")
    cue = Cue(row.number("start"), row.number("end"), text)
    if cue.end < cue.start:
        raise row.error(f"end={cue.end:g} is before start={cue.start:g}")
    return cue


def _names(item: ClipOrImage) -> tuple[str, ...]:
    """Return what a row may call an item's video: its path, its file, its file without suffix."""
    path = item.video.path
    return item.video.source_id, str(path), path.name, path.stem
