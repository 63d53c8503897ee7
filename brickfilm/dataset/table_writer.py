"""Collect rows in an Arrow table: in memory, or in a file if there are many."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

from brickfilm.dataset.rows import DatasetRow
from brickfilm.files import TEMP_SUFFIX, disk_errors

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 1000
MEMORY_ROWS = 20_000
"""Rows of a table in memory, about 25 MB; larger ones are mapped from a file."""


class TableWriter:
    """Rows to become a table, in batches of BATCH_ROWS; `close` returns it.

    folder: where the file of a large table is made.
    """

    def __init__(self, schema: pa.Schema, folder: Path) -> None:
        self._schema = schema
        self._folder = folder
        self._rows: list[DatasetRow] = []
        self._waiting: list[pa.RecordBatch] = []
        """Fewer rows than a batch has."""
        self._batches: list[pa.RecordBatch] = []
        self._written = 0
        self._writer: pa.RecordBatchStreamWriter | None = None
        self.path: Path | None = None
        """The file of a large table, alone in its folder."""

    def append(self, row: DatasetRow) -> None:
        """Add a row; columns that it lacks are null, and others than the schema's are left out."""
        self._rows.append(row)
        if len(self._rows) == BATCH_ROWS:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        rows, self._rows = self._rows, []
        self.write(pa.RecordBatch.from_pylist(rows, schema=self._schema))

    def write(self, batch: pa.RecordBatch) -> None:
        """Add the rows of a batch with the writer's schema."""
        import pyarrow as pa

        self._waiting.append(batch)
        while sum(map(len, self._waiting)) >= BATCH_ROWS:
            table = pa.Table.from_batches(self._waiting)
            self._add(table.slice(0, BATCH_ROWS))
            self._waiting = table.slice(BATCH_ROWS).to_batches()

    def _add(self, table: pa.Table) -> None:
        """Add a batch; open the file once there are too many rows for the memory."""
        import pyarrow as pa

        self._batches += table.combine_chunks().to_batches()
        self._written += len(table)
        if self._written <= MEMORY_ROWS:
            return
        with disk_errors(self._folder):
            if self._writer is None:
                suffix = f".{os.getpid()}{TEMP_SUFFIX}"
                made = tempfile.mkdtemp(prefix=".rows-", suffix=suffix, dir=self._folder)
                self.path = Path(made) / "rows.arrow"
                self._writer = pa.ipc.new_stream(self.path, self._schema)
            for batch in self._batches:
                self._writer.write_batch(batch)
        self._batches = []

    def close(self) -> pa.Table:
        """Return the table of all rows."""
        import pyarrow as pa

        self._flush()
        self._add(pa.Table.from_batches(self._waiting, self._schema))
        if self._writer is None:
            return pa.Table.from_batches(self._batches, self._schema)
        with disk_errors(self._folder):
            self._writer.close()
            with pa.memory_map(str(self.path)) as file:
                return pa.ipc.open_stream(file).read_all()

    def delete_with(self, owner: object) -> None:
        """Delete the file together with an object that uses it; a kill leaves that to a build."""
        if self.path:
            weakref.finalize(owner, shutil.rmtree, self.path.parent, ignore_errors=True)
