"""Measure how scanning scales with a video's length and the number of videos, and its memory.

    python -m tests.benchmarks.growth [FILM]

A video is made 1, 2, 4 and 8 times as long by joining its packets; then one worker scans 1, 10 and
100 copies of it. Memory is the peak resident size of a fresh process above that of its imports. CPU
seconds count all threads, and are least affected by other work on the machine.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import av
import typer
from rich.console import Console
from rich.table import Table

from tests.brickworld import BrickFilm

TIMES = (1, 2, 4, 8)
FILMS = (1, 10, 100)


def longer(film: Path, times: int, path: Path) -> Path:
    """Write the video `times` in a row, copying its packets."""
    with av.open(str(path), "w") as copy:
        stream = None
        shift = 0
        for _ in range(times):
            with av.open(str(film)) as source:
                picture = source.streams.video[0]
                stream = stream or copy.add_stream_from_template(picture)
                for packet in source.demux(picture):
                    if packet.dts is None:
                        continue
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = stream
                    copy.mux(packet)
                shift += picture.duration
    return path


def scan_all(films: list[Path]) -> dict[str, float]:
    """Scan videos one after another; return seconds, frames, and MB over the imports."""
    from brickfilm.engine.stage import WorkItem
    from brickfilm.records import Clip
    from brickfilm.stages import SceneSplitter
    from tests.benchmarks.shots import video_of

    splitter = SceneSplitter()
    import cv2  # noqa: F401  # counts as an import

    before = _resident()
    start, used = time.perf_counter(), cpu_seconds()
    frames = 0
    parts = frozenset(part.digest for part in splitter.parts())
    with splitter.open(films[0].parent) as compute:
        for film in films:
            video = video_of(film)
            (results,) = compute([WorkItem(video, parts)])
            assert isinstance(results, dict), results
            clips = [r for r in splitter.apply_parts(video, results) if isinstance(r, Clip)]
            frames += clips[0].video.frames or 0
    return {
        "seconds": time.perf_counter() - start,
        "cpu": cpu_seconds() - used,
        "frames": frames,
        "mb": _resident() - before,
    }


def cpu_seconds() -> float:
    """Return this process's user and system time."""
    times = os.times()
    return times.user + times.system


def _resident() -> float:
    """Return the peak resident size in MB; `ru_maxrss` would begin with the parent's."""
    (line,) = (x for x in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in x)
    return int(line.split()[1]) / 1024


def in_a_worker(films: list[Path]) -> dict[str, float]:
    """Run `scan_all` in a fresh process."""
    command = [sys.executable, "-m", "tests.benchmarks.growth", "--worker"]
    done = subprocess.run(
        [*command, *map(str, films)], check=True, capture_output=True, text=True, env=os.environ
    )
    result: dict[str, float] = json.loads(done.stdout)
    return result


def main(
    films: Annotated[list[Path] | None, typer.Argument()] = None,
    worker: Annotated[bool, typer.Option("--worker", hidden=True)] = False,
) -> None:
    """Print a table of time and memory."""
    if worker and films:
        print(json.dumps(scan_all(films)))
        return
    with tempfile.TemporaryDirectory() as work:
        film = films[0] if films else _default(Path(work))
        table = Table(
            "films", "frames", "seconds", "CPU seconds", "CPU ms a frame", "MB over imports"
        )
        for times in TIMES:
            made = longer(film, times, Path(work) / f"{times}.mp4")
            _row(table, f"1, {times} times as long", in_a_worker([made]))
        for count in FILMS:
            copies = [Path(work) / f"copy-{n}.mp4" for n in range(count)]
            for copy in copies:
                shutil.copy(film, copy)
            _row(table, str(count), in_a_worker(copies))
        Console().print(table)


def _default(work: Path) -> Path:
    path = work / "film.mp4"
    BrickFilm(seed=70, length=8, size=(640, 360), holds=(2, 3)).render(path)
    return path


def _row(table: Table, name: str, result: dict[str, float]) -> None:
    each = 1000 * result["cpu"] / result["frames"]
    table.add_row(
        name,
        f"{result['frames']:.0f}",
        f"{result['seconds']:.2f}",
        f"{result['cpu']:.2f}",
        f"{each:.2f}",
        f"{result['mb']:.0f}",
    )


if __name__ == "__main__":
    typer.run(main)
