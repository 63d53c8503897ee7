"""Validate a dataset: its columns, its values, its splits, and the media of every row."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from brickfilm.dataset.media_checks import RowGroupTask, check_row_group, row_group_tasks
from brickfilm.dataset.reader import SavedDataset
from brickfilm.dataset.table_checks import Problem, schema_problems, table_problems
from brickfilm.engine.workers import worker_pool
from brickfilm.schema.columns import MEDIA_COLUMN

if TYPE_CHECKING:
    import pandas as pd

MIN_BYTES_FOR_POOL = 32 << 20
"""Bytes of media above which worker processes, which take seconds to start, save time."""
EXAMPLES_PER_PROBLEM = 5
"""Row ids that are kept of each kind of problem."""


@dataclass
class ValidationReport:
    """Rows that were checked, and the problems in them."""

    rows: int = 0
    reference_rows: int = 0
    """Rows among them without a media column: nothing of them is decoded."""
    seconds: float = 0.0
    problems: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    @property
    def is_valid(self) -> bool:
        """Return True if there is no problem."""
        return not self.problems

    @property
    def rows_per_second(self) -> float:
        """Return the rows checked in a second of wall time."""
        return self.rows / max(1e-9, self.seconds)

    def add(self, problems: Iterable[Problem]) -> None:
        """Count problems, and keep the first EXAMPLES_PER_PROBLEM ids of each kind."""
        for kind, row_id in problems:
            self.problems[kind] += 1
            examples = self.examples.setdefault(kind, [])
            if len(examples) < EXAMPLES_PER_PROBLEM:
                examples.append(row_id)


def validate(dataset: SavedDataset, *, workers: int | None = None) -> ValidationReport:
    """Check every row of a dataset; `workers` processes decode (default: one for each CPU)."""
    start = time.monotonic()
    dataset = replace(dataset, checks_values=False)
    report = ValidationReport()
    report.add((f"{c}: split {split} has no file", "") for c, split in dataset.missing_splits)
    tables = _check_schemas(dataset, report)
    report.add(table_problems(tables))
    if len(tables) == len(dataset.configs) and not any(len(rows) for rows in tables.values()):
        report.add([("no rows: all clips were dropped or removed", "")])
    report.rows = report.reference_rows
    tasks = list(row_group_tasks(dataset, tables))
    for rows, problems in _check_row_groups(tasks, workers or len(os.sched_getaffinity(0))):
        report.rows += rows
        report.add(problems)
    report.seconds = time.monotonic() - start
    return report


def _check_schemas(dataset: SavedDataset, report: ValidationReport) -> dict[str, pd.DataFrame]:
    """Return the tables of the configs whose columns are right, and report the others."""
    tables = {}
    for config in dataset.configs:
        problems = list(dict.fromkeys(schema_problems(dataset, config)))
        report.add(problems)
        if not problems:
            tables[config] = dataset.to_pandas(config)
            if MEDIA_COLUMN[config] not in dataset.columns(config):
                report.reference_rows += len(tables[config])
    return tables


def _check_row_groups(
    tasks: Sequence[RowGroupTask], workers: int
) -> Iterator[tuple[int, list[Problem]]]:
    """Yield rows and problems of each task, from worker processes if there is much to decode."""
    if workers == 1 or sum(task.bytes for task in tasks) < MIN_BYTES_FOR_POOL:
        yield from map(check_row_group, tasks)
        return
    with worker_pool(min(workers, len(tasks))) as pool:
        yield from pool.map(check_row_group, tasks)
