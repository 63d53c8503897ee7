"""Build many clips through the real loop, ledger and final pass, killed once; only media are toys.

    python -m tests.benchmarks.scale --clips 100000

Videos have 20 clips; a clip has a file, three stills, scores, hashes and a paid caption. Each pass
runs in a process of its own, whose CPU seconds and peak memory (`VmHWM`) are printed. No video is
decoded, nothing is encoded and no request is sent: all clips and stills are one small file.
"""

from __future__ import annotations

import hashlib
import json
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from brickfilm.build.final_pass import FinalPass, finalize
from brickfilm.engine.capabilities import Paid
from brickfilm.engine.ledger import Ledger
from brickfilm.engine.ledger.file import FILENAME, connect
from brickfilm.engine.pipeline import Pipeline
from brickfilm.engine.run import PipelineRun
from brickfilm.engine.stage import Answer, Resources, Stage
from brickfilm.errors import WorkdirUnusable
from brickfilm.records import Caption, Clip, Still
from tests.kit.inline_executor import InlineExecutor
from tests.kit.toy_stages import Cut, Names

CLIPS_PER_VIDEO = 20
MEDIA = b"a clip of no frames, in place of a real one"
SCORES = ("motion", "sharpness", "hold", "drawing_fps", "hold_regularity", "pulldown")
app = typer.Typer()


@dataclass(frozen=True)
class Write(Stage[Clip, Clip]):
    """Stand in for ClipWriter and FrameSampler: an answer of their size, and no media."""

    input_types = (Clip,)

    @contextmanager
    def open(self, work: Path) -> Iterator[Callable[[Clip], Answer]]:
        def compute(item: Clip) -> Answer:
            digest = hashlib.sha256(item.id.encode()).hexdigest()
            file = {"path": "clips/clip.mp4", "sha256": hashlib.sha256(MEDIA).hexdigest()}
            hashes = [digest[n : n + 16] for n in (0, 16, 32)]
            return {"files": [file] * 4, "width": 1280, "height": 720, "frame_hashes": hashes}

        yield compute

    def apply(self, item: Clip, answer: Answer) -> Iterable[Clip]:
        file = answer["files"][0]
        stills = tuple(
            Still(frame=n, at=n / 24, path=Path(still["path"]), sha256=still["sha256"])
            for n, still in enumerate(answer["files"][1:])
        )
        yield replace(
            item,
            path=Path(file["path"]),
            sha256=file["sha256"],
            width=answer["width"],
            height=answer["height"],
            stills=stills,
            frame_hashes=tuple(answer["frame_hashes"]),
            scores=dict.fromkeys(SCORES, 0.5),
        )


@dataclass(frozen=True)
class Describe(Stage[Clip, Clip], Paid):
    """Stand in for a captioner: a text of sixty words, and a bill."""

    input_types = (Clip,)

    @property
    def resources(self) -> Resources:
        return Resources(concurrency=8)

    @property
    def budget(self) -> float | None:
        return None

    def worst_case_cost(self, request: Clip) -> float:
        return 0.02

    @contextmanager
    def open(self, work: Path) -> Iterator[Callable[[Clip], Answer]]:
        words = "a small figure of bricks walks over a grey plate " * 6
        bill = {"cost": 0.001, "model": "toy", "input_tokens": 900, "output_tokens": 80}
        yield lambda item: {"text": f"{item.id}: {words}", **bill}

    def apply(self, item: Clip, answer: Answer) -> Iterable[Clip]:
        yield replace(item, caption=Caption(text=answer["text"], model="toy"))


@app.command("pass")
def one_pass(work: Path, clips: int, final: bool = False) -> None:
    """Run one pass, and with --final the final pass; print what it took as JSON."""
    source = Names([f"video {n:07}" for n in range(clips // CLIPS_PER_VIDEO)])
    stages = (Cut(pieces=CLIPS_PER_VIDEO), Write(), Describe())
    seconds: dict[str, Any] = {}
    with Ledger(work) as ledger:
        run = PipelineRun(Pipeline.from_stages(source, stages), ledger, InlineExecutor())
        started = time.process_time()
        run.execute(source.items())
        seconds["pass"] = time.process_time() - started
        seconds["pass_mb"] = peak_megabytes()
        if final:
            started = time.process_time()
            finalize(run, ledger, FinalPass())
            seconds["final"] = time.process_time() - started
            seconds["final_mb"] = peak_megabytes()
        seconds["clips"] = len(run.finished)
    print(json.dumps(seconds))


def peak_megabytes() -> float:
    status = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def start(work: Path, clips: int, *more: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "tests.benchmarks.scale", "pass", str(work), str(clips), *more]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def result(process: subprocess.Popen[str]) -> dict[str, float]:
    out, _ = process.communicate()
    assert process.returncode == 0
    measured: dict[str, float] = json.loads(out.splitlines()[-1])
    return measured


def kill_at(process: subprocess.Popen[str], work: Path, answers: int) -> int:
    """Kill a pass when the ledger has so many captions; return how many were paid for."""
    query = "SELECT COUNT(*) FROM intents"
    count = 0
    while process.poll() is None and count < answers:
        time.sleep(0.5)
        with suppress(sqlite3.Error, WorkdirUnusable), closing(connect(work / FILENAME)) as db:
            count = db.execute(query).fetchone()[0]
    process.send_signal(signal.SIGKILL)
    process.wait()
    return count


@app.command()
def measure(clips: Annotated[int, typer.Option()] = 100_000) -> None:
    """Print CPU seconds, memory and bytes of a build that is resumed, repeated and finished."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "clips").mkdir()
        (work / "clips" / "clip.mp4").write_bytes(MEDIA)
        Ledger(work).__exit__(None, None, None)
        paid = kill_at(start(work, clips), work, clips // 2)
        first = result(start(work, clips))
        again = result(start(work, clips, "--final"))
        with closing(connect(work / FILENAME)) as db:
            requests = db.execute("SELECT COUNT(*) FROM intents").fetchone()[0]
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        size = (work / FILENAME).stat().st_size
    print(f"killed after {paid:,} requests; {requests - clips} of {clips:,} sent twice")
    print(
        f"| {clips:,} | {first['pass']:.0f} | {first['pass_mb']:.0f} | {again['pass']:.0f} | "
        f"{again['final']:.0f} | {again['final_mb']:.0f} | {size / clips:.0f} |"
    )


if __name__ == "__main__":
    app()
