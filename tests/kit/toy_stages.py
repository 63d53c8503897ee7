"""Small stages and sources without outside services, for tests of the loop."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

from brickfilm.engine.capabilities import Paid
from brickfilm.engine.stage import Answer, Resources, Stage
from brickfilm.errors import Failed, NoResponse, Rejected
from brickfilm.records import Caption, Clip, Listing, Span, Video


def video(name: str) -> Video:
    return Video(
        path=Path(name),
        sha256=hashlib.sha256(name.encode()).hexdigest(),
        source_id=name,
        fps=Fraction(24),
        time_base=Fraction(1, 24),
        width=64,
        height=36,
        duration=10.0,
    )


def clip(film: Video, start: int = 0, end: int = 24, **facts: object) -> Clip:
    span = Span(start_frame=start, end_frame=end, start_pts=start, end_pts=end)
    return replace(Clip(video=film, span=span), **facts)


@dataclass(frozen=True)
class Names:
    """A source of videos that are only names."""

    names: Sequence[str]

    def items(self) -> Iterator[Listing]:
        return (Listing(source_id=name) for name in self.names)

    def stages(self) -> tuple[Stage, ...]:
        return (Fetch(),)


@dataclass(frozen=True)
class Fetch(Stage[Listing, Video]):
    input_types = (Listing,)
    output_types = (Video,)
    runs_in_dry_run = True

    @contextmanager
    def open(self, work: Path) -> Iterator[Callable[[Listing], Answer]]:
        yield lambda listing: {}

    def apply(self, item: Listing, answer: Answer) -> Iterable[Video]:
        yield video(item.source_id)


@dataclass(frozen=True)
class Cut(Stage[Video, Clip]):
    """Cut a video into `pieces`; each computation is logged by the video's id."""

    pieces: int = 3
    log: Path | None = field(default=None, compare=False)
    pool: str = field(default="thread", compare=False)

    input_types = (Video,)
    output_types = (Clip,)
    provides = ("path",)  # so that no ClipWriter is added
    runs_in_dry_run = True

    @property
    def resources(self) -> Resources:
        return Resources(pool=self.pool, concurrency=2)

    @contextmanager
    def open(self, work: Path) -> Iterator[Callable[[Video], Answer]]:
        def compute(video: Video) -> Answer:
            note(self.log, video.id)
            if video.source_id == "killer":
                os._exit(9)
            if video.source_id == "broken":
                raise Failed("broken cannot be cut")
            if video.source_id == "unwanted":
                raise Rejected("unwanted is not wanted", reason="unwanted")
            return {"pieces": self.pieces}

        yield compute

    def apply(self, item: Video, answer: Answer) -> Iterable[Clip]:
        for n in range(answer["pieces"]):
            yield clip(item, 24 * n, 24 * n + 24)


@dataclass(frozen=True)
class Say(Stage[Clip, Clip], Paid):
    """A paid captioner: a cent a clip, logged by the clip's id."""

    words: str = "bricks"
    log: Path | None = field(default=None, compare=False)
    max_cost_usd: float | None = field(default=None, compare=False)
    lose: int = field(default=0, compare=False)
    """Number of first requests that bring no answer."""
    wait: float = field(default=0.0, compare=False)

    input_types = (Clip,)
    provides = ("caption",)

    @property
    def resources(self) -> Resources:
        return Resources(concurrency=3)

    @property
    def budget(self) -> float | None:
        return self.max_cost_usd

    def worst_case_cost(self, request: Clip) -> float:
        return 0.02

    @contextmanager
    def open(self, work: Path) -> Iterator[Callable[[Clip], Answer]]:
        def compute(item: Clip) -> Answer:
            note(self.log, item.id)
            time.sleep(self.wait)
            if self.log and len(self.log.read_text().splitlines()) <= self.lose:
                raise NoResponse("the line is dead")
            return {"text": f"{self.words} of {item.id}", "cost": 0.01, "model": "toy"}

        yield compute

    def apply(self, item: Clip, answer: Answer) -> Iterable[Clip]:
        yield replace(item, caption=Caption(text=answer["text"], cost=answer["cost"]))


def note(log: Path | None, line: str) -> None:
    if log:
        with log.open("a") as handle:
            handle.write(line + "\n")


def lines(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []
