"""Read captions from .csv, .jsonl, .parquet and .txt files, and tell which line is wrong."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from brickfilm.captions.json_reply import one_line
from brickfilm.errors import UsageError
from brickfilm.files import parse_json

CAPTION_COLUMNS = ("caption", "text")
DELIMITERS = (",", ";", "\t")
"""Spreadsheets save "CSV" with any of these, by the country they are set to."""


class AbsentCell(str):
    """A cell that a row of JSON or Parquet leaves out, or holds as null."""

    __slots__ = ()


class NestedCell(str):
    """A list or an object as JSON: no caption, no time and no licence."""

    __slots__ = ()


@dataclass(frozen=True)
class TableRow:
    """One row of a table: its cells as text, '' where a cell is empty, and where it stands."""

    file: str
    line: int
    """Line of the file where the row ends; in Parquet the number of the row, from 1."""
    cells: Mapping[str, str]

    def error(self, problem: str) -> UsageError:
        """Return an error that names file and line."""
        return UsageError(f"{self.file} line {self.line}: {problem}")

    def number(self, column: str) -> float:
        """Return a cell as seconds; UsageError if it is no finite number of at least 0."""
        try:
            seconds = float(self.cells[column])
        except ValueError:
            seconds = -1.0
        if not 0 <= seconds < float("inf"):
            raise self.error(f"{column}={self.cells[column]!r} is no number of seconds")
        return seconds


def read_captions(file: Path, column: str | None = None) -> list[str]:
    """Return the captions of a file in its order, without empty ones; UsageError if unreadable."""
    if file.suffix == ".txt":
        return [line.strip() for line in _text(file).splitlines() if line.strip()]
    rows = read_rows(file)
    if not rows:
        return []
    names, remedy = [column] if column else CAPTION_COLUMNS, "pass --column, one of"
    name = first_column(rows, names, file, remedy=remedy)
    return [row.cells[name] for row in rows if row.cells[name]]


def read_rows(file: Path) -> list[TableRow]:
    """Return the rows of a .csv, .jsonl or .parquet file; UsageError names a wrong line."""
    readers = {".csv": _csv_rows, ".jsonl": _jsonl_rows, ".parquet": _parquet_rows}
    if file.suffix not in readers:
        raise UsageError(f"{str(file)!r}: give a .csv, .jsonl or .parquet file")
    try:
        return list(readers[file.suffix](file))
    except (OSError, ValueError) as error:
        raise UsageError(f"{str(file)!r} cannot be read: {error}") from error


def first_column(
    rows: Sequence[TableRow], names: Sequence[str], file: Path, remedy: str = "rename one of"
) -> str:
    """Return the first of these columns that the rows have; UsageError if they have none."""
    have = list(rows[0].cells)
    if found := next((name for name in names if name in have), None):
        for row in rows:
            if isinstance(row.cells[found], NestedCell):
                raise row.error(f"{found} is a list or an object: give one text")
        return found
    wanted = " or ".join(map(repr, names))
    raise UsageError(f"{str(file)!r} has no column {wanted}: {remedy} {', '.join(have)}")


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{str(file)!r} is not UTF-8: save it as 'CSV UTF-8'") from error
    except OSError as error:
        raise UsageError(f"{str(file)!r} cannot be read: {error}") from error


def _csv_rows(file: Path) -> Iterator[TableRow]:
    text = _text(file)
    delimiter = max(DELIMITERS, key=text.partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        if twice := next((name for name in header if name and header.count(name) > 1), None):
            raise UsageError(f"{file.name} has two columns {twice!r}: rename one")
        for cells in reader:
            row = TableRow(file.name, reader.line_num, dict(zip(header, cells, strict=False)))
            if cells and len(cells) != len(header):
                raise row.error(f"{len(cells)} fields, but the header has {len(header)}")
            if any(cells):
                yield TableRow(row.file, row.line, {k: _cell(v) for k, v in row.cells.items()})
    except csv.Error as error:
        raise UsageError(f"{file.name} line {reader.line_num}: {error}") from error


def _jsonl_rows(file: Path) -> Iterator[TableRow]:
    rows = []
    for number, line in enumerate(_text(file).split("\n"), 1):
        if not line.strip():
            continue
        row = TableRow(file.name, number, {})
        try:
            entry = parse_json(line)
        except ValueError as error:
            raise row.error(f"no JSON: {error}") from error
        if not isinstance(entry, dict):
            raise row.error("a JSON object was expected")
        rows.append((number, {name: _cell(value) for name, value in entry.items()}))
    columns = dict.fromkeys(name for _, cells in rows for name in cells)
    for number, cells in rows:
        yield TableRow(file.name, number, {name: cells.get(name, AbsentCell()) for name in columns})


def _parquet_rows(file: Path) -> Iterator[TableRow]:
    """Read the columns of text and numbers; media stay on disk."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    parquet = pq.ParquetFile(file)
    schema = parquet.schema_arrow
    columns = [f.name for f in schema if not pa.types.is_nested(f.type) and not _is_bytes(f.type)]
    number = 0
    for batch in parquet.iter_batches(columns=columns):
        for entry in batch.to_pylist():
            number += 1
            yield TableRow(file.name, number, {name: _cell(v) for name, v in entry.items()})


def _is_bytes(kind: object) -> bool:
    return "binary" in str(kind)


def _cell(value: object) -> str:
    """Return a cell as text on one line; None is an AbsentCell."""
    if value is None:
        return AbsentCell()
    if isinstance(value, str):
        return one_line(value)
    text = one_line(json.dumps(value, default=str))
    return NestedCell(text) if isinstance(value, list | dict) else text
