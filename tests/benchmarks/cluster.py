"""Measure Ray against the local executor on real footage, and how it spreads a stage that sleeps.

    python -m tests.benchmarks.cluster overhead --films 8 --rounds 2
    python -m tests.benchmarks.cluster sleep --nodes 8

`overhead` scans and cuts copies of the demo film with two workers, in turns by either executor,
whose workers have started before. `sleep` runs a stage that sleeps a second on logical nodes of one
host with a CPU each: it shows scheduling, and nothing about networks.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer

from brickfilm import ClipWriter, FolderSource, FrameSampler, SceneSplitter
from brickfilm.demo import DEMO_VIDEO
from brickfilm.engine.executors import Executor, LocalExecutor, RayExecutor
from brickfilm.engine.ledger import Ledger
from brickfilm.engine.pipeline import Pipeline, Source
from brickfilm.engine.run import PipelineRun
from brickfilm.engine.stage import Answer, Resources, Stage
from brickfilm.records import Clip
from tests.kit.toy_stages import Cut, Names

WORKERS = 2
PIECES = 4
"""Clips of a video that `sleep` cuts."""
SETTINGS = {"include_dashboard": False, "object_store_memory": 80 * 2**20}
app = typer.Typer()


@dataclass(frozen=True)
class Sleep(Stage[Clip, Clip]):
    """Sleep a second for each clip, in a worker."""

    input_types = (Clip,)

    @property
    def resources(self) -> Resources:
        return Resources(pool="process", concurrency=0)

    @contextmanager
    def open(self, work: Path) -> Iterator[Callable[[Clip], Answer]]:
        def compute(item: Clip) -> Answer:
            time.sleep(1)
            return {}

        yield compute

    def apply(self, item: Clip, answer: Answer) -> Iterable[Clip]:
        yield item


def copies(folder: Path, count: int) -> FolderSource:
    """Return copies of the demo film, each with other bytes: an empty box at its end."""
    folder.mkdir(parents=True)
    for n in range(count):
        box = b"\0\0\0\x10free" + n.to_bytes(8)
        (folder / f"{n}.mp4").write_bytes(DEMO_VIDEO.read_bytes() + box)
    return FolderSource(folder)


def wall_and_cpu(
    source: Source,
    stages: tuple[Stage[Any, Any], ...],
    executor: Executor,
    folder: Path | None = None,
) -> tuple[float, float]:
    """Return the seconds of a pass: by the clock, and of all processes.

    folder: its work folder, by default a new one, which Ray's nodes check first.
    """
    pipeline = Pipeline.from_stages(source, stages)
    with tempfile.TemporaryDirectory() as new, Ledger(folder or Path(new)) as ledger:
        run = PipelineRun(pipeline, ledger, executor)
        started, used = time.perf_counter(), cpu_seconds()
        run.execute(source.items())
        seconds = time.perf_counter() - started, cpu_seconds() - used
    assert run.finished
    assert {result.status for result in run.item_results} <= {"done", "rejected"}
    return seconds


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and all that it started, Ray's own ones included."""
    used: dict[int, float] = {}
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended
            fields = stat.read_text().rpartition(")")[2].split()
            parents[int(stat.parent.name)] = int(fields[1])
            used[int(stat.parent.name)] = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    ours = {os.getpid()}
    while found := {child for child, parent in parents.items() if parent in ours} - ours:
        ours |= found
    return sum(used[process] for process in ours)


def ray_environment() -> None:
    """Let the processes of the cluster see this clone, need no token, and be as nice as we are."""
    os.environ["RAY_AUTH_MODE"] = "disabled"
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112  by default 15: others go first
    os.environ["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)


@app.command()
def overhead(
    films: Annotated[int, typer.Option()] = 8, rounds: Annotated[int, typer.Option()] = 2
) -> None:
    """Print the seconds of each round by executor, and the ratios of their medians."""
    ray_environment()
    stages = (SceneSplitter(), ClipWriter(), FrameSampler())
    measured: dict[str, list[tuple[float, float]]] = {"local": [], "ray": []}
    with tempfile.TemporaryDirectory() as folder:
        few = copies(Path(folder, "few"), WORKERS)
        many = copies(Path(folder, "many"), films)
        executors: dict[str, Any] = {
            "local": LocalExecutor(processes=WORKERS),
            "ray": RayExecutor("local", processes=WORKERS, num_cpus=WORKERS + 2, **SETTINGS),
        }
        for executor in executors.values():
            wall_and_cpu(few, stages, executor)  # starts the workers
        for _ in range(rounds):
            for name, executor in executors.items():
                seconds, used = wall_and_cpu(many, stages, executor)
                measured[name].append((seconds, used))
                print(f"{name}: {seconds:.1f} s, {used:.1f} s of the CPU", flush=True)
        for executor in executors.values():
            executor.close()
    for what, place in (("clock", 0), ("CPU", 1)):
        local, ray = (median(times[place] for times in measured[name]) for name in measured)
        print(f"{what}: local {local:.1f} s, Ray {ray:.1f} s: {ray / local:.3f} times")


@app.command()
def sleep(
    nodes: Annotated[int, typer.Option()] = 8, clips: Annotated[int, typer.Option()] = 240
) -> None:
    """Print how much of the time of all nodes the stage slept."""
    ray_environment()
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    for _ in range(nodes):
        cluster.add_node(num_cpus=1, **SETTINGS)
    executor = RayExecutor(cluster.address)
    stages = (Cut(pieces=PIECES), Sleep())
    first = Names([f"first {n}" for n in range(2 * nodes)])  # starts a worker on each node
    source = Names([f"video {n}" for n in range(clips // PIECES)])
    with tempfile.TemporaryDirectory() as folder:
        started, _ = wall_and_cpu(first, stages, executor, Path(folder))
        seconds, _ = wall_and_cpu(source, stages, executor, Path(folder))
    executor.close()
    cluster.shutdown()
    print(
        f"{clips} s of sleep on {nodes} nodes took {seconds:.1f} s: {clips / nodes / seconds:.1%} "
        f"after start-up ({started - 2 * PIECES:.1f} s: workers, and the check of the work folder)"
    )


if __name__ == "__main__":
    app()
