"""Build many clips through the real loop, stages, ledger and final pass, killed once.

    python -m tests.benchmarks.scale measure --clips 50000 --json scale.json
    python -m tests.benchmarks.scale plot scale.json docs/images/scale.svg

Only decoding, encoding and requests are replaced. Videos have 20 clips; every clip has a file and
three stills of its own (of a few bytes), 28 scores, hashes and a paid caption of sixty words; with
--images its middle frame is captioned too. Each pass runs in a process of its own, whose CPU
seconds and peak memory are printed: `RssAnon`, which is its own, without mapped files.
"""

from __future__ import annotations

import hashlib
import json
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from brickfilm.build.final_pass import FinalPass, finalize
from brickfilm.captions.answers import answer_from_completion
from brickfilm.captions.backend import Completion, Usage
from brickfilm.captions.request import CaptionRequest
from brickfilm.engine.calls import BatchFunction
from brickfilm.engine.ledger import Ledger
from brickfilm.engine.ledger.file import FILENAME, connect
from brickfilm.engine.pipeline import Pipeline
from brickfilm.engine.run import PipelineRun
from brickfilm.engine.sinks import FusedSinks, artefact_folder
from brickfilm.engine.stage import Answer, Result, Stage, WorkItem
from brickfilm.errors import WorkdirUnusable
from brickfilm.records import Clip, Video, with_fields
from brickfilm.report.titles import SCORE_MEANINGS
from brickfilm.stages import CaptionAudit, Captioner, ClipWriter, FrameSampler, RefusalFilter
from tests.benchmarks.figure import lines_svg
from tests.kit.inline_executor import InlineExecutor
from tests.kit.toy_stages import Cut, Names

CLIPS_PER_VIDEO = 20
SCORES = sorted(SCORE_MEANINGS.keys() - {"caption_repeats", "cut_inside", "cut_start", "cut_end"})
ZERO_SCORES = (
    *("black_share", "color_bars", "flashes", "flat_share", "pulldown", "text_share"),
    *(name for name in SCORES if name.startswith("letterbox")),
)
"""Scores that are 0 of most clips, as in the demo film."""
CAPTION = (
    "A {} figure of {} bricks walks over a grey plate towards a {} house, stops at its door and "
    "looks back at a car with the number {}. The camera stays where it is while two birds fly over "
    "the roof. Behind the house stand three trees and a fence with an open gate, and the light "
    "falls from the left through a window that nobody has closed."
)
app = typer.Typer()


def noise(text: str) -> bytes:
    """Return 128 bytes that a text determines."""
    return hashlib.shake_256(text.encode()).digest(128)


@dataclass(frozen=True)
class CutAndScore(Cut):
    """Stand in for SceneSplitter: clips with the scores of the default measures."""

    def apply(self, item: Video, answer: Answer) -> Iterable[Clip]:
        for clip in super().apply(item, answer):
            numbers = noise(clip.id)
            scores = {name: numbers[n] / 255 * 3.1 for n, name in enumerate(SCORES)}
            scores |= {"hold": 2.0, **dict.fromkeys(ZERO_SCORES, 0.0)}
            yield with_fields(clip, scores=scores, unique_frames=tuple(range(0, 24, 2)))


@dataclass(frozen=True)
class WriteNothing(FusedSinks):
    """Stand in for the decoder and the encoders: answers of ClipWriter and FrameSampler."""

    @contextmanager
    def open(self, work: Path) -> Iterator[BatchFunction]:  # type: ignore[override]
        def compute(work_items: Sequence[WorkItem]) -> list[Result]:
            return [self.answers(work, item.item) for item in work_items]

        yield compute

    def answers(self, work: Path, clip: Clip) -> Result:
        writer, sampler = self.sinks
        assert isinstance(sampler, FrameSampler)
        size = {"width": 1280, "height": 720}
        images = [clip.span.start_frame + 11] if sampler.images else []
        frames = sorted({*sampler.all_frames(clip), *images})
        clips, folder = (artefact_folder(work, kind, clip) for kind in ("clips", "stills"))
        file = written(work, f"{clips}/{clip.id}-{writer.digest[:8]}.mp4")
        names = [f"{folder}/{clip.id}-f{n:06d}-{sampler.digest[:8]}.jpg" for n in frames]
        stills = [written(work, name) for name in names]
        digits = noise(clip.id).hex()
        return {
            writer.digest: {"files": [file], **size, "psnr": 43.75},
            sampler.digest: {
                "files": stills,
                "stills": [{"frame": n, **s, **size} for n, s in zip(frames, stills, strict=True)],
                "frame_hashes": [digits[n : n + 16] for n in (0, 16, 32)],
            },
        }


def written(work: Path, path: str) -> dict[str, str]:
    content = path.encode()
    (work / path).write_bytes(content)
    return {"path": path, "sha256": hashlib.sha256(content).hexdigest()}


@dataclass(frozen=True, kw_only=True)
class CaptionNothing(Captioner):
    """Stand in for the server: a caption of sixty words and a bill, through the real request."""

    @contextmanager
    def open(self, work: Path) -> Iterator[Callable[[CaptionRequest], Answer]]:
        def ask(request: CaptionRequest) -> Answer:
            numbers = noise("".join(still.sha256 for still in request.stills))
            text = CAPTION.format(*(int.from_bytes(numbers[n : n + 4]) for n in range(4)))
            reply = json.dumps({"status": "described", "caption": text})
            usage = Usage(input=900 + numbers[0], output=80 + numbers[1] % 40)
            completion = Completion(text=reply, model=self.model, usage=usage)
            kind, price = request.item_kind, self.price
            answer = answer_from_completion(completion, item_kind=kind, price=price)
            return {**answer, "stills": len(request.stills)}

        yield ask


class WideExecutor(InlineExecutor):
    """Do 64 calls of a stage at a time, so that one transaction stores them."""

    def concurrency(self, stage: Stage[Any, Any]) -> int:
        return 64


def pipeline_of(clips: int, images: bool) -> tuple[Names, Pipeline]:
    names = [f"films/{n // 100:04}/video {n:07}.mp4" for n in range(clips // CLIPS_PER_VIDEO)]
    source, cut = Names(names), CutAndScore(pieces=CLIPS_PER_VIDEO)
    captioner = CaptionNothing(model="gpt-4o", prompt="bricks")
    sinks = (ClipWriter(), FrameSampler(images=images))
    real = Pipeline.from_stages(source, (cut, *sinks, captioner, RefusalFilter(), CaptionAudit()))
    stages = (WriteNothing(s.sinks) if isinstance(s, FusedSinks) else s for s in real.stages)
    return source, Pipeline(tuple(stages), real.original_stages)


@app.command("pass")
def one_pass(work: Path, clips: int, images: bool = False, final: bool = False) -> None:
    """Run one pass, and with --final the final pass; print what it took as JSON."""
    source, pipeline = pipeline_of(clips, images)
    found: dict[str, Any] = {"clips": clips}
    started = time.process_time()
    with Ledger(work) as ledger, peak_memory() as peak:
        run = PipelineRun(pipeline, ledger, WideExecutor())
        run.execute(source.items())
        found |= {"pass": time.process_time() - started, "pass_mb": peak()}
        if final:
            started = time.process_time()
            finalize(run, ledger, FinalPass())
            found |= {"final": time.process_time() - started, "final_mb": peak()}
        found["finished"] = len(run.finished)
    print(json.dumps(found))


@contextmanager
def peak_memory() -> Iterator[Callable[[], float]]:
    """Yield a function that returns the most MB of memory of its own that this process had."""
    status, most, ended = Path("/proc/self/status"), [0.0], threading.Event()

    def read() -> float:
        line = next(x for x in status.read_text().splitlines() if x.startswith("RssAnon"))
        most[0] = max(most[0], int(line.split()[1]) / 1024)
        return most[0]

    def watch() -> None:
        while not ended.wait(0.05):
            read()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield read
    finally:
        ended.set()
        watcher.join()


def start(work: Path, clips: int, *more: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "tests.benchmarks.scale", "pass", str(work), str(clips), *more]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def result(process: subprocess.Popen[str]) -> dict[str, float]:
    out, _ = process.communicate()
    assert process.returncode == 0
    measured: dict[str, float] = json.loads(out.splitlines()[-1])
    return measured


def kill_at(process: subprocess.Popen[str], work: Path, answers: int) -> int:
    """Kill a pass when the ledger has so many requests; return how many were paid for."""
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
def measure(
    clips: Annotated[int, typer.Option()] = 50_000,
    images: Annotated[bool, typer.Option("--images")] = False,
    out: Annotated[Path | None, typer.Option("--json")] = None,
) -> None:
    """Print CPU seconds, memory and bytes of a build that is resumed, repeated and finished."""
    options = ["--images"] if images else []
    wanted = clips * (1 + images)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        Ledger(work).__exit__(None, None, None)
        paid = kill_at(start(work, clips, *options), work, wanted // 2)
        first = result(start(work, clips, *options))
        again = result(start(work, clips, "--final", *options))
        with closing(connect(work / FILENAME)) as db:
            requests = db.execute("SELECT COUNT(*) FROM intents").fetchone()[0]
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        found = {**again, "images": images, "ledger": (work / FILENAME).stat().st_size / clips}
        found |= {"resumed": first["pass"], "resumed_mb": first["pass_mb"]}
        print(f"killed after {paid:,} requests; {requests - wanted} of {wanted:,} sent twice")
        print(
            f"| {clips:,} | {found['resumed']:.0f} | {found['resumed_mb']:.0f} | "
            f"{found['pass']:.1f} | {found['pass_mb']:.0f} | {found['final']:.1f} | "
            f"{found['final_mb']:.0f} | {found['ledger']:.0f} |",
            flush=True,  # to delete the files takes longer than to read them
        )
        if out:
            known = json.loads(out.read_text()) if out.is_file() else []
            out.write_text(json.dumps([*known, found], indent=1))


@app.command()
def plot(measured: Path, out: Path) -> None:
    """Draw time and memory against clips, from the JSON of `measure`."""
    rows = sorted(json.loads(measured.read_text()), key=lambda row: row["clips"])

    def line(name: str) -> list[tuple[float, float]]:
        return [(row["clips"], row[name]) for row in rows]

    seconds = {"repeated pass": line("pass"), "final pass": line("final")}
    memory = {"pass": line("pass_mb"), "final pass": line("final_mb")}
    out.write_text(lines_svg({"CPU seconds": seconds, "memory, MB": memory}, "clips"))


@app.command()
def stages(work: Path, clips: int, images: bool = False) -> None:
    """Print what each stage costs in a repeated pass, and in the ledger of a built folder."""
    rows, before = [], 0.0
    with Ledger(work) as ledger:
        _, pipeline = pipeline_of(clips, images)
        for count in range(1, len(pipeline.stages) + 1):
            spent = min(replayed(ledger, clips, images, count) for _ in range(3))
            rows.append((pipeline.stages[count - 1].name, 1e6 * (spent - before) / clips))
            before = spent
    for name, microseconds in rows:
        print(f"| {name} | {microseconds:.0f} |")


def replayed(ledger: Ledger, clips: int, images: bool, count: int) -> float:
    """Return the CPU seconds of a repeated pass through the first stages."""
    source, pipeline = pipeline_of(clips, images)
    first = Pipeline(pipeline.stages[:count], pipeline.original_stages)
    started = time.process_time()
    PipelineRun(first, ledger, WideExecutor()).execute(source.items())
    return time.process_time() - started


if __name__ == "__main__":
    app()
