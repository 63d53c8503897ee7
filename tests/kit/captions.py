"""Make clips without a video file, and run builds of captions alone."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import PIL.Image

from brickfilm.engine.batch_jobs import BatchJobManager
from brickfilm.engine.executors import LocalExecutor
from brickfilm.engine.ledger import Ledger
from brickfilm.engine.pipeline import Pipeline
from brickfilm.engine.run import PipelineRun
from brickfilm.engine.stage import Answer, Stage
from brickfilm.records import Clip, Image, Listing, Span, Still, Video

AT = (0.2, 0.5, 0.8)


@lru_cache(maxsize=4096)
def picture(number: int) -> bytes:
    """Return a small JPEG unique to a number: its bits as black and white blocks."""
    small = PIL.Image.new("L", (8, 4))
    small.putdata([255 * (number >> bit & 1) for bit in range(32)])
    out = io.BytesIO()
    small.resize((32, 16), PIL.Image.Resampling.NEAREST).save(out, "JPEG", quality=90)
    return out.getvalue()


@dataclass(frozen=True)
class ClipSource:
    """A source of `count` clips with stills."""

    count: int
    work: Path

    def items(self) -> Iterator[Listing]:
        (self.work / "stills").mkdir(parents=True, exist_ok=True)
        return (Listing(source_id=f"film{n}") for n in range(self.count))

    def stages(self) -> tuple[Stage[Any, Any], ...]:
        return (Open(str(self.work)),)


@dataclass(frozen=True)
class Open(Stage[Listing, Clip]):
    """A listing becomes a clip whose stills lie in the work folder."""

    work: str
    input_types = (Listing,)
    output_types = (Clip,)
    provides = ("stills", "path")

    def apply(self, item: Listing, answer: Answer) -> Iterable[Clip]:
        yield clip(int(item.source_id.removeprefix("film")), Path(self.work))


@dataclass(frozen=True)
class AddImages(Stage[Clip, Clip | Image]):
    """Every clip, and its middle still as an image."""

    input_types = (Clip,)
    output_types = (Image,)

    def apply(self, item: Clip, answer: Answer) -> Iterable[Clip | Image]:
        yield item
        yield image(item)


@dataclass(frozen=True)
class Written(Stage[Clip, Clip]):
    """Gives a clip a media file, one of its stills, so that a dataset can be saved."""

    input_types = (Clip,)
    provides = ("path",)

    def apply(self, item: Clip, answer: Answer) -> Iterable[Clip]:
        hashes = (item.stills[0].sha256[:16],) * 3
        yield replace(
            item, path=item.stills[0].path, sha256=item.stills[0].sha256, frame_hashes=hashes
        )


@dataclass(frozen=True)
class WithCheckStills(Stage[Clip, Clip]):
    """Gives a clip two more stills, for the verifier."""

    work: str
    input_types = (Clip,)
    provides = ("check_stills",)

    def apply(self, item: Clip, answer: Answer) -> Iterable[Clip]:
        number = int(item.video.source_id.removeprefix("film"))
        more = (still(1000 + 2 * number + k, p, Path(self.work)) for k, p in enumerate((0.1, 0.9)))
        yield replace(item, check_stills=tuple(more))


def clip(number: int, work: Path, at: Sequence[float] = AT, **film: Any) -> Clip:
    """Clip `number`: 40 frames at 10 per second, stills written below `work`."""
    video = Video(
        **{"path": Path(f"film{number}.mp4"), "source_id": f"film{number}"} | film,
        sha256=hashlib.sha256(str(number).encode()).hexdigest(),
        fps=Fraction(10),
        time_base=Fraction(1, 10),
        width=640,
        height=360,
    )
    span = Span(start_frame=0, end_frame=40, start_pts=0, end_pts=40)
    stills = tuple(still(4 * number + k, p, work) for k, p in enumerate(at))
    return Clip(video=video, span=span, width=640, height=360, stills=stills)


def image(of: Clip) -> Image:
    middle = of.stills[1]
    return Image(
        clip=of, frame=middle.frame, path=middle.path, sha256=middle.sha256, width=32, height=16
    )


def still(number: int, at: float, work: Path) -> Still:
    content = picture(number)
    path = Path("stills", f"{number}.jpg")
    if not (work / path).exists():
        (work / path).parent.mkdir(parents=True, exist_ok=True)
        (work / path).write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    return Still(frame=round(at * 39), at=at, path=path, sha256=sha256)


def run_captions(work: Path, source: Any, *stages: Stage[Any, Any]) -> PipelineRun:
    """Run a build without the final pass."""
    executor = LocalExecutor()
    try:
        with Ledger(work) as ledger:
            run = PipelineRun(Pipeline.from_stages(source, stages), ledger, executor)
            run.execute(source.items())
    finally:
        executor.close()
    return run


def count_results(run: PipelineRun, stage: str) -> Counter[str]:
    """Count the results of a stage, rejections and failures by reason."""
    return Counter(
        o.status if o.status == "done" else f"{o.status}: {o.reason}"
        for o in run.item_results
        if o.stage == stage
    )


def worst_case_cost(stage: Any, item: Clip | Image) -> float:
    """Return the most US dollars that an item can cost."""
    cost: float = stage.worst_case_cost(stage.request(item))
    return cost


def batch_build(work: Path, source: Any, *stages: Any, wait: bool = True) -> PipelineRun:
    """Run a build with batch jobs, without the final pass."""
    pipeline = Pipeline.from_stages(source, stages)
    executor = LocalExecutor()
    with Ledger(work) as ledger, BatchJobManager(pipeline, ledger) as batch_jobs:
        more = True
        while more:
            run = PipelineRun(pipeline, ledger, executor, failures=batch_jobs.failures)
            run.execute(source.items())
            more = batch_jobs.advance(run, wait=wait, log=lambda message: None)
    executor.close()
    return run
