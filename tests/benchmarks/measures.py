"""Measure what each measure costs, and all default ones against bare decoding on two threads.

    python -m tests.benchmarks.measures FILM [--runs 5]

The CPU time of a measure is that of its function over the reduced frames of the film, held in
memory; that of the whole set is a scan of the file. Medians of `runs` runs, taken in turns.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from brickfilm.detectors import HoldAware
from brickfilm.measures import ALL_MEASURES, DEFAULT_MEASURES
from brickfilm.media import FrameExtras, ReducedFrame, open_video, reduced_frames
from brickfilm.records import Video
from brickfilm.scan.analyzer import Measure
from brickfilm.stages import SceneSplitter
from tests.benchmarks.shots import video_of
from tests.kit.ask_stage import ask

MAX_FRAMES = 200
"""Frames held in memory, with their luma at full size: 190 MB of 720p."""


def main(film: Path, runs: int = 5) -> None:
    """Print milliseconds a frame of each measure, and the ratio of a scan to bare decoding."""
    film = film.resolve()
    video, console = video_of(film), Console()
    costs = Table("measure", "scores", "CPU ms a frame")
    frames = frames_of(film)
    for measure in ALL_MEASURES:
        if measure.columns:
            taken = [_cpu(partial(run, measure, video, frames)) for _ in range(runs)]
            cost = f"{1e3 * statistics.median(taken) / len(frames):.3f}"
            costs.add_row(type(measure).__name__, ", ".join(measure.provides), cost)
    console.print(costs)
    console.print(scans_table(film, video, runs))


def frames_of(film: Path) -> list[ReducedFrame]:
    """Decode the first frames of a film, with all extras."""
    extras = FrameExtras(with_chroma=True, with_bands=True, with_full_luma=True)
    with open_video(film, threads=1) as reader:
        return [frame for frame, _ in zip(reduced_frames(reader, extras), range(MAX_FRAMES))]  # noqa: B905


def run(measure: Measure, video: Video, frames: list[ReducedFrame]) -> None:
    """Analyze all frames by one measure."""
    analyze = measure.begin(video)
    for frame in frames:
        analyze(frame)


def scans_table(film: Path, video: Video, runs: int) -> Table:
    """Time bare decoding and scans, in turns."""
    variants: dict[str, Callable[[], object]] = {
        "bare decode, 2 threads": lambda: _decode(film),
        "scan: cuts": lambda: _scan(video, ()),
        "scan: cuts + default measures": lambda: _scan(video, DEFAULT_MEASURES),
        "scan: cuts + all measures": lambda: _scan(video, ALL_MEASURES),
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in variants}
    for _ in range(runs):
        for name, variant in variants.items():
            start = time.perf_counter()
            used = _cpu(variant)
            times[name].append((time.perf_counter() - start, used))
    table = Table("variant", "seconds", "CPU seconds", "speed against bare decode (by CPU time)")
    bare = _medians(times["bare decode, 2 threads"])
    for name, taken in times.items():
        wall, cpu = _medians(taken)
        table.add_row(
            name, f"{wall:.2f}", f"{cpu:.2f}", f"{bare[0] / wall:.2f} ({bare[1] / cpu:.2f})"
        )
    return table


def _medians(times: list[tuple[float, float]]) -> tuple[float, float]:
    return statistics.median(t[0] for t in times), statistics.median(t[1] for t in times)


def _decode(film: Path) -> None:
    with open_video(film, threads=2) as reader:
        for _ in reader.container.decode(reader.stream):
            pass


def _scan(video: Video, measures: tuple[Measure, ...]) -> None:
    with tempfile.TemporaryDirectory() as work:
        ask(SceneSplitter(detector=HoldAware(), measures=measures), [video], Path(work))


def _cpu(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


if __name__ == "__main__":
    typer.run(main)
