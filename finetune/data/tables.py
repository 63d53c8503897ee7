"""Read tables of media files and captions: CSV, JSON lines, or a JSON list, as trainers have them.

Paths are relative to the table's folder. Missing sizes and rates are read from the media.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brickfilm.files import parse_json
from brickfilm.schema.safe_paths import UnsafePathError, file_inside
from finetune.data.parse_row import Place, first_column, parse_row
from finetune.data.rows import (
    CAPTION_COLUMNS,
    FILE,
    PATH_COLUMNS,
    DatasetRow,
    Stamp,
    file_stamp,
)
from finetune.errors import BadSample, DataError

UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
TABLE_SUFFIXES = (".csv", ".jsonl", ".json")
IGNORED_COLUMNS = ("sha256", "new_drawings")
"""Computed instead, or not used: a table may be older than its files."""
SURPLUS = "surplus fields"
"""Key of what follows the last column: mostly the rest of a caption without quotes."""
Line = tuple[int, dict[str, Any]]
"""The number of a line, and its values by column."""


@dataclass(frozen=True)
class MediaTable:
    """One CSV, JSONL or JSON file."""

    file: Path

    def stamps(self) -> list[Stamp]:
        """Return the stamp of the file, and a digest of those of its media."""
        digest, count = hashlib.sha256(), 0
        for _, values in self._lines():
            count += 1
            media = self._media(values)
            stamp = file_stamp(media) if isinstance(media, Path) else [media]
            digest.update(json.dumps(stamp).encode())
        return [file_stamp(self.file), [f"media of {self.file}", count, digest.hexdigest()]]

    def rows(self) -> Iterator[DatasetRow | BadSample]:
        """Yield its rows; raise DataError if it lacks a column or is not UTF-8."""
        for number, values in self._lines():
            media = self._media(values)
            if surplus := [text for text in values.pop(SURPLUS, ()) if text.strip()]:
                media = f"{surplus[0][:60]!r} is in no column: put quotes around texts with commas"
            if isinstance(media, str):
                yield BadSample(f"{media}, line {number} of {self.file}")
                continue
            name = f"{media}, line {number} of {self.file}"
            measured = {key: value for key, value in values.items() if key not in IGNORED_COLUMNS}
            yield parse_row(measured, Place(str(media), FILE, FILE, name))

    def _media(self, values: dict[str, Any]) -> Path | str:
        """Return the file of a line's media, in the table's folder, or what is wrong with it."""
        path = str(values.get(first_column(PATH_COLUMNS, values) or "") or "")
        try:
            return file_inside(self.file.parent, path)
        except (UnsafePathError, OSError) as error:
            return str(error)

    def _lines(self) -> Iterator[Line]:
        try:
            lines = self._csv_lines if self.file.suffix == ".csv" else self._json_lines
            for number, values in lines():
                self._check_columns(values)
                yield number, values
        except UnicodeDecodeError as error:
            encoding = "utf-16" if error.object[:2] in UTF_16_MARKS else "latin1"
            raise DataError(
                f"{self.file} is not UTF-8 (byte {error.object[error.start]:#04x}): convert it, "
                f"such as with iconv -f {encoding} -t utf-8 {self.file} > utf-8{self.file.suffix}"
            ) from error
        except (csv.Error, json.JSONDecodeError) as error:
            raise DataError(f"{self.file} cannot be read ({error}): correct the file") from error

    def _csv_lines(self) -> Iterator[Line]:
        csv.field_size_limit(sys.maxsize)  # a caption may be longer than 131,072 characters
        with self.file.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines, restkey=SURPLUS)
            self._check_columns(dict.fromkeys(reader.fieldnames or ()))
            for values in reader:
                yield reader.line_num, values

    def _json_lines(self) -> Iterator[Line]:
        text = self.file.read_text(encoding="utf-8-sig")
        if self.file.suffix == ".json":
            listed = parse_json(text)
            yield from enumerate(listed if isinstance(listed, list) else [listed], 1)
            return
        for number, line in enumerate(text.split("\n"), 1):  # texts may hold other line ends
            if line.strip():
                yield number, parse_json(line)

    def _check_columns(self, values: object) -> None:
        if not isinstance(values, dict):
            raise DataError(f"{self.file} has {str(values)[:60]!r} in the place of a row")
        wanted = {"path": PATH_COLUMNS, "text": CAPTION_COLUMNS}
        missing = [name for name, names in wanted.items() if not first_column(names, values)]
        if missing:
            raise DataError(
                f"{self.file} lacks the column(s) {', '.join(missing)}: name the media's column "
                f"one of {', '.join(PATH_COLUMNS)}, the caption's {', '.join(CAPTION_COLUMNS)}"
            )
