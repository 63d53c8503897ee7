"""Compare the speed of scanning and cutting with bare decoding, PySceneDetect and the predecessor.

    python -m tests.benchmarks.speed [FILM] [--runs 5]

The predecessor is rebuilt from its settings: AdaptiveDetector 3.0 (at least 15 frames), one ffmpeg
process a clip (`-ss -i -t -r 30`, x264 medium at 720 lines), three stills a clip by seeking with
OpenCV. All variants take turns on the same file, `runs` times; medians are shown.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from brickfilm.detectors.by_name import DETECTORS_BY_NAME
from brickfilm.engine.sinks import FusedSinks
from brickfilm.measures import Cadence
from brickfilm.media import open_video
from brickfilm.records import Clip
from brickfilm.stages import ClipWriter, FrameSampler, SceneSplitter
from tests.benchmarks.shots import video_of
from tests.brickworld import BrickFilm
from tests.kit.ask_stage import ask

Variant = Callable[[Path, Path], int]
"""Process a video in an empty folder; return the number of clips."""


def bare_decode(film: Path, work: Path) -> int:
    """Decode every frame on two threads, and do nothing with it."""
    with open_video(film, threads=2) as reader:
        for _ in reader.container.decode(reader.stream):
            pass
    return 0


def pyscenedetect(film: Path, work: Path) -> int:
    """Run the predecessor's detector alone."""
    return len(_predecessor_shots(film))


def scan(film: Path, work: Path, detector: str = "layout") -> int:
    """Find cuts and cadence."""
    splitter = SceneSplitter(detector=DETECTORS_BY_NAME[detector](), measures=(Cadence(),))
    return len(_clips(splitter, film, work))


def scan_all_measures(film: Path, work: Path) -> int:
    """Find cuts, cadence, motion, freeze share and sharpness."""
    return len(_clips(SceneSplitter(detector="layout"), film, work))


def scan_and_stills(film: Path, work: Path) -> int:
    """Find cuts and cadence, write exact stills and a manifest; encode no clip."""
    clips = _clips(SceneSplitter(detector="layout", measures=(Cadence(),)), film, work)
    done = [r for r in ask(FrameSampler(), clips, work) if isinstance(r, Clip)]
    lines = (json.dumps({"id": c.id, "stills": [str(s.path) for s in c.stills]}) for c in done)
    (work / "manifest.jsonl").write_text("\n".join(lines))
    return len(done)


def scan_stills_and_clips(film: Path, work: Path) -> int:
    """Find cuts and cadence, write stills, and clips at 720 lines, verified at both ends."""
    return _write_clips(ClipWriter(max_height=720), film, work)


def scan_stills_and_copies(film: Path, work: Path) -> int:
    """Do the same, and copy groups of pictures instead of encoding them."""
    return _write_clips(ClipWriter(max_height=720, mode="copy"), film, work)


def _write_clips(writer: ClipWriter, film: Path, work: Path) -> int:
    clips = _clips(SceneSplitter(detector="layout", measures=(Cadence(),)), film, work)
    sinks = FusedSinks((writer, FrameSampler()))
    return sum(isinstance(r, Clip) for r in ask(sinks, clips, work))


def predecessor(film: Path, work: Path) -> int:
    """Detect, cut and take stills in three steps."""
    shots = _predecessor_shots(film)
    for number, (start, end) in enumerate(shots):
        clip = work / f"{number}.mp4"
        _predecessor_cut(film, clip, start, end)
        _predecessor_stills(clip)
    return len(shots)


def _clips(splitter: SceneSplitter, film: Path, work: Path) -> list[Clip]:
    return [r for r in ask(splitter, [video_of(film)], work) if isinstance(r, Clip)]


def _predecessor_shots(film: Path) -> list[tuple[float, float]]:
    from scenedetect import AdaptiveDetector, detect

    found = detect(
        str(film),
        AdaptiveDetector(adaptive_threshold=3.0, min_scene_len=15),
        start_in_scene=True,
    )
    return [(start.seconds, end.seconds) for start, end in found]


def _predecessor_cut(film: Path, clip: Path, start: float, end: float) -> None:
    seek = ["-ss", f"{start}", "-i", str(film), "-t", f"{end - start}", "-r", "30"]
    encode = ["-vf", "scale=-2:720", "-c:v", "libx264", "-an", "-y", str(clip)]
    subprocess.run(["ffmpeg", "-v", "error", *seek, *encode], check=True)


def _predecessor_stills(clip: Path) -> None:
    import cv2

    capture = cv2.VideoCapture(str(clip))
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    for share in (0.1, 0.5, 0.9):
        capture.set(cv2.CAP_PROP_POS_FRAMES, int(share * count))
        good, picture = capture.read()
        if good:
            cv2.imwrite(str(clip.with_suffix(f".{share}.jpg")), picture)
    capture.release()


VARIANTS: dict[str, Variant] = {
    "bare decode, 2 threads": bare_decode,
    "PySceneDetect": pyscenedetect,
    "scan by `holds`": partial(scan, detector="holds"),
    "scan: cuts + cadence": scan,
    "scan, all measures": scan_all_measures,
    "scan + stills + manifest": scan_and_stills,
    "scan + stills + clips": scan_stills_and_clips,
    "scan + stills + copied clips": scan_stills_and_copies,
    "predecessor": predecessor,
}
TARGETS: tuple[tuple[str, str, str, float, float], ...] = (
    ("scan against bare decode", "bare decode, 2 threads", "scan: cuts + cadence", 0.75, 0.9),
    ("scan against PySceneDetect", "PySceneDetect", "scan: cuts + cadence", 1.3, 1.3),
    ("scan against scan by `holds`", "scan by `holds`", "scan: cuts + cadence", 0.95, 1),
    ("scan + stills against predecessor", "predecessor", "scan + stills + manifest", 5, 10),
    ("all, clips encoded, against predecessor", "predecessor", "scan + stills + clips", 2.3, 3),
    ("all, clips copied, against predecessor", "predecessor", "scan + stills + copied clips", 5, 5),
)
"""Name of the ratio, variant compared with, our variant, minimum, stretch target."""


@dataclass(frozen=True)
class Timing:
    """Medians of a variant."""

    seconds: float
    cpu: float
    """CPU seconds, child processes included: least affected by other work on the machine."""
    clips: int


def time_variants(film: Path, runs: int) -> dict[str, Timing]:
    """Return each variant's medians; variants take turns, so that noise affects all."""
    has_ffmpeg = bool(shutil.which("ffmpeg"))
    variants = {n: v for n, v in VARIANTS.items() if n != "predecessor" or has_ffmpeg}
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    cpu: dict[str, list[float]] = {name: [] for name in variants}
    clips: dict[str, int] = {}
    for _ in range(runs):
        for name, variant in variants.items():
            with tempfile.TemporaryDirectory() as work:
                start, used = time.perf_counter(), _cpu()
                clips[name] = variant(film, Path(work))
                seconds[name].append(time.perf_counter() - start)
                cpu[name].append(_cpu() - used)
    middle = statistics.median
    return {n: Timing(middle(seconds[n]), middle(cpu[n]), clips[n]) for n in variants}


def _cpu() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def main(
    film: Annotated[Path | None, typer.Argument(help="Default: a rendered one, 720p.")] = None,
    runs: int = 5,
    seconds: Annotated[float, typer.Option(help="Length of the rendered video.")] = 30,
) -> None:
    """Time every variant on one video."""
    if film is None:
        film = Path("work/speed.mp4")
        if not film.exists():
            BrickFilm(seed=77, length=seconds, size=(1280, 720), holds=(2, 3)).render(film)
    film = film.resolve()
    video_of(film)
    results = time_variants(film, runs)
    console = Console()
    console.print(variants_table(film, results))
    if "predecessor" not in results:
        console.print("predecessor not run: install ffmpeg")
    console.print(targets_table(results))


def variants_table(film: Path, results: dict[str, Timing]) -> Table:
    table = Table("variant", "seconds", "CPU seconds", "clips", title=f"{film.name}, medians")
    for name, timing in results.items():
        table.add_row(name, f"{timing.seconds:.2f}", f"{timing.cpu:.2f}", str(timing.clips))
    return table


def targets_table(results: dict[str, Timing]) -> Table:
    table = Table("ratio", "measured", "by CPU time", "minimum", "stretch")
    for name, other, ours, minimum, stretch in TARGETS:
        if other in results:
            a, b = results[other], results[ours]
            measured = f"{a.seconds / b.seconds:.2f}", f"{a.cpu / b.cpu:.2f}"
            table.add_row(name, *measured, f"{minimum}", f"{stretch}")
    return table


if __name__ == "__main__":
    typer.run(main)
