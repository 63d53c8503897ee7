"""Sort rows, and keep one for each id."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from brickfilm.dataset.row_table import RowTable
from brickfilm.dataset.rows import DatasetRow
from brickfilm.engine.spilled_list import SpilledList

SORTED_ROWS = 20_000
"""Rows that are sorted in memory, about 60 MB; more are merged from files."""
MERGED_ROWS = 100
"""Rows of each file that are in memory while it is merged with others."""
ORDER = itemgetter("id", "source_id")


class RowSorter(Iterable[DatasetRow]):
    """Rows to be read in the order of their ids: of a video with two source ids, the least.

    folder: where temporary files are made.
    """

    def __init__(self, folder: Path, rows: Iterable[DatasetRow] = ()) -> None:
        self.names: set[str] = set()
        """Columns of any row."""
        self._folder = folder
        self._runs: list[Sequence[DatasetRow]] = []
        self._rows: list[DatasetRow] = []
        for row in rows:
            self.add(row)

    def add(self, row: DatasetRow) -> None:
        """Add a row."""
        self.names.update(row)
        self._rows.append(row)
        if len(self._rows) == SORTED_ROWS:
            run = sorted(self._rows, key=ORDER)
            self._runs.append(SpilledList(self._folder, run, chunk=MERGED_ROWS))
            self._rows = []

    def __iter__(self) -> Iterator[DatasetRow]:
        runs = [*self._runs, sorted(self._rows, key=ORDER)]
        for _, same in groupby(heapq.merge(*runs, key=ORDER), key=itemgetter("id")):
            yield next(same)

    def table(self, config: str) -> RowTable:
        """Return the sorted rows in columns."""
        return RowTable.of(config, self, self.names, self._folder)
