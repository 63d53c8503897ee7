"""Read tables of parquet without their media, and the media of one row after the other."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from brickfilm.errors import Failed
from brickfilm.sources.remote.addresses import Access

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

BATCH_ROWS = 1000
BYTES = ("binary", "large_binary", "binary_view")
TEXTS = ("string", "large_string", "string_view")
READ_BYTES = 1 << 20


class RowReader:
    """Reads the bytes of rows; of rows in rising order each group of rows is read once."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._lock = threading.Lock()
        self._position: tuple[str, int] = ("", 0)
        self._rows: Iterator[bytes | None] = iter(())

    def read(self, table: str, value: str) -> bytes:
        """Return the bytes of a value, named `column:row`; raise Failed if it has none."""
        column, _, number = value.rpartition(":")
        with self._lock, self._access.guard():
            content = self._row(table, column, int(number))
        if not content:
            raise Failed(f"{table}#{value} has no bytes", reason="no video")
        return content

    def _row(self, table: str, column: str, row: int) -> bytes | None:
        at = f"{table}#{column}"
        if self._position[0] != at or row < self._position[1]:
            self._rows, first = self._rows_from(table, column, row)
            self._position = (at, first)
        content = None
        while self._position[1] <= row:
            content = next(self._rows, None)
            self._position = (at, self._position[1] + 1)
        return content

    def _rows_from(self, table: str, column: str, row: int) -> tuple[Iterator[bytes | None], int]:
        """Return the values from the first row of a row's group on, and that row's number."""
        parquet = open_parquet(table, self._access)
        sizes = [parquet.metadata.row_group(n).num_rows for n in range(parquet.num_row_groups)]
        ends = list(accumulate(sizes))
        group = bisect_right(ends, row)
        if group == len(ends):
            raise Failed(f"{table} has only {parquet.metadata.num_rows} rows", reason="dead link")
        groups = list(range(group, len(ends)))
        return _values(parquet, column, groups), ends[group] - sizes[group]


def _values(parquet: pq.ParquetFile, column: str, groups: list[int]) -> Iterator[bytes | None]:
    leaf = f"{column}.bytes" if _is_struct(parquet.schema_arrow, column) else column
    for batch in parquet.iter_batches(1, row_groups=groups, columns=[leaf]):
        (value,) = batch.column(0).to_pylist()
        yield value["bytes"] if isinstance(value, dict) else value


def open_parquet(table: str, access: Access) -> pq.ParquetFile:
    """Open a table at an address; raise Failed if it is not parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(access.open(table), buffer_size=READ_BYTES)
    except pa.ArrowInvalid as error:
        raise Failed(f"{table} is not parquet: {error}", reason="unreadable") from error


def table_schema(table: str, access: Access) -> pa.Schema:
    """Return the names and types of a table's columns."""
    with open_parquet(table, access) as parquet:
        return parquet.schema_arrow


def holds_bytes(schema: pa.Schema, column: str) -> bool:
    """Return True if the values of a column are media, or structs that may have them."""
    kind = schema.field(column).type
    return str(kind) in BYTES if not _is_struct(schema, column) else "bytes" in _fields(kind)


def _holds_paths(schema: pa.Schema, column: str) -> bool:
    """Return True if the values of a column are texts, or structs with a path."""
    kind = schema.field(column).type
    return str(kind) in TEXTS if not _is_struct(schema, column) else "path" in _fields(kind)


def wrong_type(schema: pa.Schema, column: str, *, is_media: bool) -> str:
    """Return the type of a column that is no media, or no text or number; '' if it is right."""
    kind = schema.field(column).type
    is_right = (
        holds_bytes(schema, column) or _holds_paths(schema, column) if is_media else _is_plain(kind)
    )
    return "" if is_right else str(kind)


def media_paths(table: str, column: str, access: Access) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table, without nested columns and media, with the path in `column`."""
    with open_parquet(table, access) as parquet:
        schema = parquet.schema_arrow
        columns = [field.name for field in schema if _is_plain(field.type)]
        if _is_struct(schema, column) and _holds_paths(schema, column):
            columns.append(f"{column}.path")
        for batch in parquet.iter_batches(BATCH_ROWS, columns=columns):
            for row in batch.to_pylist():
                value = row.get(column)
                yield {**row, column: value["path"] if isinstance(value, dict) else value}


def _is_struct(schema: pa.Schema, column: str) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_struct(schema.field(column).type))


def _fields(kind: pa.DataType) -> list[str]:
    return [field.name for field in kind]


def _is_plain(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return not pa.types.is_nested(kind) and "binary" not in str(kind)
