"""How fast films are scanned and cut, beside bare decoding, PySceneDetect and the three steps that
this replaces.

    python -m tests.benchmarks.speed [FILM] [--runs 5]

The old lane is rebuilt from its settings: AdaptiveDetector 3.0 (15 frames at least), one ffmpeg
process a clip (`-ss -i -t -r 30`, x264 medium at 720 lines), three stills a clip by OpenCV's
seeking. All lanes run in turn on the same file, `runs` times; medians are shown.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from brickfilm.detectors import HoldAware
from brickfilm.engine.sinks import FusedSinks
from brickfilm.engine.stage import Stage, WorkItem
from brickfilm.measures import Cadence
from brickfilm.media import open_video
from brickfilm.records import Clip, Video
from brickfilm.stages import ClipWriter, FrameSampler, SceneSplitter
from tests.benchmarks.shots import video_of
from tests.brickworld import BrickFilm

StageQueue = Callable[[Path, Path], int]
"""From a film and an empty folder to the number of clips."""


def bare_decode(film: Path, work: Path) -> int:
    """Every frame, with two threads, and nothing done with it."""
    with open_video(film, threads=2) as opening:
        for _ in opening.container.decode(opening.stream):
            pass
    return 0


def pyscenedetect(film: Path, work: Path) -> int:
    """The old detector by itself."""
    return len(_old_shots(film))


def scan(film: Path, work: Path) -> int:
    """Cuts and cadence."""
    return len(_clips(SceneSplitter(detector=HoldAware(), measures=(Cadence(),)), film, work))


def scan_all_measures(film: Path, work: Path) -> int:
    """Cuts, cadence, motion, freeze share and sharpness."""
    return len(_clips(SceneSplitter(), film, work))


def scan_and_stills(film: Path, work: Path) -> int:
    """Cuts, cadence, exact stills and a manifest; no clip is encoded."""
    clips = _clips(SceneSplitter(measures=(Cadence(),)), film, work)
    done = [r for r in _run(FrameSampler(), clips, work) if isinstance(r, Clip)]
    lines = (json.dumps({"id": c.id, "stills": [str(s.path) for s in c.stills]}) for c in done)
    (work / "manifest.jsonl").write_text("\n".join(lines))
    return len(done)


def whole(film: Path, work: Path) -> int:
    """Cuts, cadence, stills, and clips at 720 lines, verified at both ends."""
    clips = _clips(SceneSplitter(measures=(Cadence(),)), film, work)
    sinks = FusedSinks((ClipWriter(max_height=720), FrameSampler()))
    return sum(isinstance(r, Clip) for r in _run(sinks, clips, work))


def old_lane(film: Path, work: Path) -> int:
    """Detect, cut and take stills as it was done before."""
    shots = _old_shots(film)
    for number, (start, end) in enumerate(shots):
        clip = work / f"{number}.mp4"
        _old_cut(film, clip, start, end)
        _old_stills(clip)
    return len(shots)


def _clips(splitter: SceneSplitter, film: Path, work: Path) -> list[Clip]:
    return [r for r in _run(splitter, [video_of(film)], work) if isinstance(r, Clip)]


def _run(stage: Stage[Any, Any], items: Iterable[Video | Clip], work: Path) -> list[Any]:
    work_items = [WorkItem(item, frozenset(p.digest for p in stage.parts())) for item in items]
    with stage.open(work) as compute:
        landed = stage.run_batch(compute, work_items)
    assert all(isinstance(answers, dict) for answers in landed), landed
    return [
        record
        for work_item, answers in zip(work_items, landed, strict=True)
        for record in stage.apply_parts(work_item.item, answers)  # type: ignore[arg-type]
    ]


def _old_shots(film: Path) -> list[tuple[float, float]]:
    from scenedetect import AdaptiveDetector, detect

    found = detect(
        str(film),
        AdaptiveDetector(adaptive_threshold=3.0, min_scene_len=15),
        start_in_scene=True,
    )
    return [(start.seconds, end.seconds) for start, end in found]


def _old_cut(film: Path, clip: Path, start: float, end: float) -> None:
    seek = ["-ss", f"{start}", "-i", str(film), "-t", f"{end - start}", "-r", "30"]
    encode = ["-vf", "scale=-2:720", "-c:v", "libx264", "-an", "-y", str(clip)]
    subprocess.run(["ffmpeg", "-v", "error", *seek, *encode], check=True)


def _old_stills(clip: Path) -> None:
    import cv2

    capture = cv2.VideoCapture(str(clip))
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    for share in (0.1, 0.5, 0.9):
        capture.set(cv2.CAP_PROP_POS_FRAMES, int(share * count))
        good, picture = capture.read()
        if good:
            cv2.imwrite(str(clip.with_suffix(f".{share}.jpg")), picture)
    capture.release()


LANES: dict[str, StageQueue] = {
    "bare decode, 2 threads": bare_decode,
    "PySceneDetect": pyscenedetect,
    "scan: cuts + cadence": scan,
    "scan, all measures": scan_all_measures,
    "scan + stills + manifest": scan_and_stills,
    "scan + stills + clips": whole,
    "old lane": old_lane,
}
BARS: tuple[tuple[str, str, str, float, float], ...] = (
    ("scan against bare decode", "bare decode, 2 threads", "scan: cuts + cadence", 0.75, 0.9),
    ("scan against PySceneDetect", "PySceneDetect", "scan: cuts + cadence", 1.3, 1.3),
    ("scan + stills against old lane", "old lane", "scan + stills + manifest", 5, 10),
    ("all, clips encoded, against old lane", "old lane", "scan + stills + clips", 2.3, 3),
)
"""What is compared, what it is compared with, ours, at least, aim."""


@dataclass(frozen=True)
class Timed:
    """A lane's medians."""

    seconds: float
    cpu: float
    """Seconds of all cores, children included: what other work on the machine disturbs least."""
    clips: int


def timed(film: Path, runs: int) -> dict[str, Timed]:
    """Medians of each lane; the lanes take turns, so that noise hits all."""
    lanes = {n: lane for n, lane in LANES.items() if n != "old lane" or shutil.which("ffmpeg")}
    seconds: dict[str, list[float]] = {name: [] for name in lanes}
    cpu: dict[str, list[float]] = {name: [] for name in lanes}
    clips: dict[str, int] = {}
    for _ in range(runs):
        for name, lane in lanes.items():
            with tempfile.TemporaryDirectory() as work:
                began, used = time.perf_counter(), _cpu()
                clips[name] = lane(film, Path(work))
                seconds[name].append(time.perf_counter() - began)
                cpu[name].append(_cpu() - used)
    middle = statistics.median
    return {n: Timed(middle(seconds[n]), middle(cpu[n]), clips[n]) for n in lanes}


def _cpu() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def main(
    film: Annotated[Path | None, typer.Argument(help="Default: a rendered one, 720p.")] = None,
    runs: int = 5,
    seconds: Annotated[float, typer.Option(help="Length of the rendered film.")] = 30,
) -> None:
    """Time every lane on one film."""
    if film is None:
        film = Path("work/speed.mp4")
        if not film.exists():
            BrickFilm(seed=77, length=seconds, size=(1280, 720), holds=(2, 3)).render(film)
    film = film.resolve()
    video_of(film)
    results = timed(film, runs)
    console = Console()
    console.print(lanes_table(film, results))
    if "old lane" not in results:
        console.print("old lane not run: there is no ffmpeg on this machine")
    console.print(bars_table(results))


def lanes_table(film: Path, results: dict[str, Timed]) -> Table:
    table = Table("lane", "seconds", "CPU seconds", "clips", title=f"{film.name}, medians")
    for name, lane in results.items():
        table.add_row(name, f"{lane.seconds:.2f}", f"{lane.cpu:.2f}", str(lane.clips))
    return table


def bars_table(results: dict[str, Timed]) -> Table:
    table = Table("ratio", "seen", "by CPU time", "at least", "aim")
    for name, other, ours, least, aim in BARS:
        if other in results:
            a, b = results[other], results[ours]
            seen = f"{a.seconds / b.seconds:.2f}", f"{a.cpu / b.cpu:.2f}"
            table.add_row(name, *seen, f"{least}", f"{aim}")
    return table


if __name__ == "__main__":
    typer.run(main)
