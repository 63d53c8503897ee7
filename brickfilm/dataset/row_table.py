"""Rows of a config in columns: a million of them are read a few columns at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from brickfilm.dataset.rows import DatasetRow
from brickfilm.dataset.table_writer import BATCH_ROWS, TableWriter
from brickfilm.schema.columns import (
    CAPTION_STYLES,
    COLUMN_TYPES,
    MEDIA_COLUMN,
    OPTIONAL_CLIP_COLUMNS,
    SCORE_PREFIX,
)

if TYPE_CHECKING:
    import pyarrow as pa


class RowTable(Sequence[DatasetRow]):
    """Rows in columns, in memory or in a file; iterating yields equal rows, which takes time.

    Media are paths. A column that a row lacks is null in the table, and not in the row.
    """

    def __init__(self, table: pa.Table, folder: Path, *, owner: object = None) -> None:
        self.table = table
        self._folder = folder
        self._owner = owner
        """Of the file that the table is mapped from, which is deleted with it."""

    @classmethod
    def of(
        cls, config: str, rows: Iterable[DatasetRow], names: Collection[str], folder: Path
    ) -> RowTable:
        """Read rows with these columns.

        folder: where the file of a large table is made.
        """
        writer = TableWriter(row_schema(config, names), folder)
        for row in rows:
            writer.append(row)
        return cls._written(writer, folder)

    @classmethod
    def _written(cls, writer: TableWriter, folder: Path) -> RowTable:
        rows = cls(writer.close(), folder)
        writer.delete_with(rows)
        return rows

    @property
    def names(self) -> list[str]:
        """Return the columns in the order of a row."""
        return list(self.table.column_names)

    def select(self, *names: str) -> Iterator[DatasetRow]:
        """Yield the rows with these columns alone, as far as they have them."""
        for batch in self._only(names).to_batches(max_chunksize=BATCH_ROWS):
            yield from _rows(batch)

    def _only(self, names: Sequence[str]) -> pa.Table:
        return self.table.select([name for name in names if name in self.names])

    def column(self, name: str) -> Iterator[Any]:
        """Yield the values of a column that every row has."""
        return (row[name] for row in self.select(name))

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Return a column of numbers, of the rows that have it."""
        values: NDArray[np.float64] = self.table[name].drop_null().to_numpy().astype(np.float64)
        return values

    def at(self, places: Sequence[int], *names: str) -> Iterator[DatasetRow]:
        """Yield the rows at these places, which ascend; given names, with these columns alone."""
        start = used = 0
        table = self._only(names) if names else self.table
        for batch in table.to_batches(max_chunksize=BATCH_ROWS):
            first = used
            while used < len(places) and places[used] < start + len(batch):
                used += 1
            if used > first:
                yield from _rows(batch.take([place - start for place in places[first:used]]))
            start += len(batch)

    def with_columns(self, **columns: Sequence[Any]) -> RowTable:
        """Return the rows with a value of each column, in its place or behind the others."""
        import pyarrow as pa

        table = self.table
        for name, values in columns.items():
            field = row_schema("clips", [name]).field(0)
            array = pa.array(values, field.type)
            if name in table.column_names:
                table = table.set_column(table.column_names.index(name), field, array)
            else:
                table = table.append_column(field, array)
        return self._like(table)

    def filtered(self, keep: Sequence[bool]) -> RowTable:
        """Return some of the rows, with the columns that any of them has."""
        writer = TableWriter(self.table.schema, self._folder)
        start = 0
        for batch in self.table.to_batches(max_chunksize=BATCH_ROWS):
            writer.write(batch.filter(_mask(keep[start : start + len(batch)])))
            start += len(batch)
        kept = self._written(writer, self._folder)
        required = {*COLUMN_TYPES["clips"], *COLUMN_TYPES["images"]}
        used = [n for n in kept.names if n in required or kept.table[n].null_count < len(kept)]
        return kept._like(kept.table.select(used))

    def _like(self, table: pa.Table) -> RowTable:
        return RowTable(table, self._folder, owner=self)

    def __len__(self) -> int:
        return len(self.table)

    def __iter__(self) -> Iterator[DatasetRow]:
        return self.select(*self.names)

    @overload
    def __getitem__(self, at: int) -> DatasetRow: ...
    @overload
    def __getitem__(self, at: slice) -> list[DatasetRow]: ...
    def __getitem__(self, at: int | slice) -> DatasetRow | list[DatasetRow]:
        places = range(len(self))[at]
        if isinstance(places, int):
            return next(self.at([places]))
        return list(self.at(places))


def _rows(batch: pa.RecordBatch) -> list[DatasetRow]:
    rows = batch_rows(batch)
    if any(column.null_count for column in batch.columns):
        return [{name: v for name, v in row.items() if v is not None} for row in rows]
    return rows


def batch_rows(batch: pa.RecordBatch) -> list[DatasetRow]:
    """Return `batch.to_pylist()`, in a fraction of its time for columns of numbers."""
    names = batch.schema.names
    if not names:
        return [{} for _ in range(len(batch))]
    return [dict(zip(names, row, strict=True)) for row in zip(*map(_values, batch), strict=True)]


def _values(column: pa.Array) -> list[Any]:
    import pyarrow as pa

    is_number = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    if is_number and not column.null_count:
        numbers: list[Any] = column.to_numpy().tolist()
        return numbers
    values: list[Any] = column.to_pylist()
    return values


def _mask(keep: Sequence[bool]) -> pa.Array:
    import pyarrow as pa

    return pa.array(keep, pa.bool_())


def row_schema(config: str, names: Collection[str]) -> pa.Schema:
    """Return the Arrow types of columns, in the order that a dataset has them in."""
    import pyarrow as pa

    types = {**column_types(config, names), MEDIA_COLUMN[config]: "string"}
    return pa.schema([(name, _arrow_type(types[name])) for name in types if name in names])


def _arrow_type(kind: str) -> pa.DataType:
    import pyarrow as pa

    if kind.startswith("list<"):
        return pa.list_(_arrow_type(kind[5:-1]))
    types: dict[str, Callable[[], pa.DataType]] = {
        "string": pa.string,
        "int64": pa.int64,
        "float64": pa.float64,
    }
    return types[kind]()


def column_types(config: str, names: Collection[str]) -> dict[str, str]:
    """Return the required columns of a config, and the optional ones, scores and styles named."""
    types = dict(COLUMN_TYPES[config])
    if config == "clips":
        types |= {n: kind for n, kind in OPTIONAL_CLIP_COLUMNS.items() if n in names}
        types |= dict.fromkeys(sorted(n for n in names if n.startswith(SCORE_PREFIX)), "float64")
    if CAPTION_STYLES in names:
        types[CAPTION_STYLES] = "string"
    return types
