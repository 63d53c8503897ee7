"""Time a repeated build of 24,000 clips in which all answers are stored.

    python -m tests.benchmarks.replay [--films 1000 --clips 24]

Bound by SQLite look-ups, one per item and part; compared with the same look-ups alone.
"""

from __future__ import annotations

import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from brickfilm.engine.executors import LocalExecutor
from brickfilm.engine.ledger import Ledger
from brickfilm.engine.ledger.file import FILENAME
from brickfilm.engine.pipeline import Pipeline
from brickfilm.engine.run import PipelineRun
from tests.kit.toy_stages import Cut, Names, Say


def one_pass(work: Path, source: Names, *stages: object) -> tuple[float, PipelineRun]:
    """Return the seconds of a pass, and the pass."""
    executor = LocalExecutor()
    with Ledger(work) as ledger:
        run = PipelineRun(Pipeline.from_stages(source, stages), ledger, executor)
        started = time.perf_counter()
        run.execute(source.items())
        seconds = time.perf_counter() - started
    executor.close()
    return seconds, run


def lookups(work: Path) -> float:
    """Return the seconds to read every answer once by its key."""
    with closing(sqlite3.connect(work / FILENAME)) as db:
        rows = db.execute("SELECT part, key FROM answers").fetchall()
    with Ledger(work) as ledger:
        started = time.perf_counter()
        for part, key in rows:
            ledger.get(part, key)
        return time.perf_counter() - started


def main(
    films: Annotated[int, typer.Option()] = 1000, clips: Annotated[int, typer.Option()] = 24
) -> None:
    """Fill a ledger, replay it, and compare with the look-ups alone."""
    source, stages = Names([f"film{n:05}" for n in range(films)]), (Cut(pieces=clips), Say())
    with tempfile.TemporaryDirectory() as folder:
        first, _ = one_pass(Path(folder), source, *stages)
        again, run = one_pass(Path(folder), source, *stages)
        seconds = lookups(Path(folder))
    print(f"first pass {first:.1f} s, replay of {len(run.finished)} clips {again:.2f} s, ")
    print(f"look-ups alone {seconds:.2f} s: replay takes {again / seconds:.1f} times as long")


if __name__ == "__main__":
    typer.run(main)
