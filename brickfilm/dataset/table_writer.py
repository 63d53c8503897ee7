"""Collect rows in a table of the `datasets` library: in memory, or in a file if there are many."""

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
    from datasets import Dataset, Features

BATCH_ROWS = 1000
MEMORY_ROWS = 100_000
"""Rows of a table in memory, about 100 MB; larger ones are mapped from a file."""


class TableWriter:
    """Rows to become a `Dataset`; `close` returns it.

    folder: where the file of a large table is made. It is deleted with the table, or by the next
    build there after a kill. total: the number of rows to expect.
    """

    def __init__(self, features: Features, folder: Path, total: int) -> None:
        self._features = features
        self._folder = folder
        self._is_large = total > MEMORY_ROWS
        self._rows: list[DatasetRow] = []
        self._batches: list[pa.RecordBatch] = []
        self._writer: pa.RecordBatchStreamWriter | None = None
        self._path = Path()

    def append(self, row: DatasetRow) -> None:
        """Add a row; columns that it lacks are null, and others than the features are left out."""
        self._rows.append(row)
        if len(self._rows) == BATCH_ROWS:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        batch = pa.RecordBatch.from_pylist(self._rows, schema=self._features.arrow_schema)
        self._rows = []
        if not self._is_large:
            self._batches.append(batch)
            return
        with disk_errors(self._folder):
            if self._writer is None:
                suffix = f".{os.getpid()}{TEMP_SUFFIX}"
                made = tempfile.mkdtemp(prefix=".rows-", suffix=suffix, dir=self._folder)
                self._path = Path(made) / "rows.arrow"
                self._writer = pa.ipc.new_stream(self._path, batch.schema)
            self._writer.write_batch(batch)

    def close(self) -> Dataset:
        """Return the table of all rows."""
        import pyarrow as pa
        from datasets import Dataset, DatasetInfo

        self._flush()
        if self._writer is None:
            info = DatasetInfo(features=self._features)
            return Dataset(pa.Table.from_batches(self._batches), info=info)
        with disk_errors(self._folder):
            self._writer.close()
        table = Dataset.from_file(str(self._path))
        weakref.finalize(table, shutil.rmtree, self._path.parent, ignore_errors=True)
        return table
