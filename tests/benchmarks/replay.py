"""How long a finished build of 24,000 clips takes to find that nothing is to do.

    python -m tests.benchmarks.replay [--films 1000 --clips 24]

Bound by SQLite's look-ups, one an item and part; the floor is the same look-ups without the loop.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from brickfilm.engine.executors import LocalExecutor
from brickfilm.engine.ledger import Ledger
from brickfilm.engine.pipeline import Pipeline
from brickfilm.engine.run import PipelineRun
from tests.kit.toy_stages import Cut, Names, Say


def one_pass(work: Path, source: Names, *stages: object) -> tuple[float, PipelineRun]:
    """Seconds of a pass, and the pass."""
    executor = LocalExecutor()
    with Ledger(work) as ledger:
        run = PipelineRun(Pipeline.from_stages(source, stages), ledger, executor)
        started = time.perf_counter()
        run.execute(source.items())
        seconds = time.perf_counter() - started
    executor.close()
    return seconds, run


def lookups(work: Path) -> float:
    """Seconds for reading every answer once, by its row, and nothing else."""
    with Ledger(work) as ledger:
        rows = list(ledger._db.execute("SELECT part, key FROM answers"))
        started = time.perf_counter()
        for part, key in rows:
            ledger.get(part, key)
        return time.perf_counter() - started


def main(
    films: Annotated[int, typer.Option()] = 1000, clips: Annotated[int, typer.Option()] = 24
) -> None:
    """Fill a ledger, replay it, and compare with bare look-ups."""
    source, stages = Names([f"film{n:05}" for n in range(films)]), (Cut(pieces=clips), Say())
    with tempfile.TemporaryDirectory() as folder:
        first, _ = one_pass(Path(folder), source, *stages)
        again, run = one_pass(Path(folder), source, *stages)
        floor = lookups(Path(folder))
    print(f"first pass {first:.1f} s, replay of {len(run.finished)} clips {again:.2f} s, ")
    print(f"bare look-ups {floor:.2f} s: replay is {again / floor:.1f}x the floor")


if __name__ == "__main__":
    typer.run(main)
