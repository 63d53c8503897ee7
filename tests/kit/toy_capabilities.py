"""A second instance of every optional capability, which the engine serves as it stands."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from brickfilm.engine.calls import BatchFunction
from brickfilm.engine.capabilities import (
    Batched,
    BatchRequestFile,
    DryRun,
    MultiPart,
    Paid,
    SourceOwner,
)
from brickfilm.engine.stage import Answer, Part, Result, Stage, WorkItem
from brickfilm.errors import Failed, ItemError, UsageError
from brickfilm.records import Caption, Clip, Listing, Video
from tests.kit.toy_stages import clip, note, video


@dataclass(frozen=True)
class Copied:
    """A source whose videos are copied into the work folder."""

    names: Sequence[str]
    log: Path
    keep: bool = False

    def items(self) -> Iterator[Listing]:
        return (Listing(source_id=name) for name in self.names)

    def stages(self) -> tuple[Stage, ...]:
        return (Copy(log=self.log, keep=self.keep),)


@dataclass(frozen=True)
class Copy(Stage[Listing, Video], SourceOwner):
    """Write a video's file, and delete it when the engine says so."""

    log: Path = field(compare=False)
    keep: bool = field(default=False, compare=False)
    input_types = (Listing,)
    output_types = (Video,)

    @contextmanager
    def open(self, work: Path) -> Iterator[Callable[[Listing], Answer]]:
        def compute(item: Listing) -> Answer:
            note(self.log, item.source_id)
            (work / item.source_id).write_text("frames")
            return {}

        yield compute

    def apply(self, item: Listing, answer: Answer) -> Iterable[Video]:
        yield video(item.source_id)

    def release_source(self, item: Listing, work: Path) -> None:
        if not self.keep:
            (work / item.source_id).unlink(missing_ok=True)

    def request_source_refetch(self, item: Listing, work: Path) -> bool:
        return True


@dataclass(frozen=True)
class Half(Part):
    """The first or second half of a video: the owner of one answer."""

    name: str
    lengths: int = 1


@dataclass(frozen=True)
class Halve(Stage[Video, Clip], MultiPart, DryRun):
    """Cut a video in two; each half is an answer of its own, and a call takes several videos."""

    log: Path = field(compare=False)
    second: int = 1
    input_types = (Video,)
    output_types = (Clip,)
    provides = ("path",)
    needs_source_file = True
    max_items_per_call = 4

    def group(self, item: Video) -> str:
        return "any"

    def parts(self) -> tuple[Part, ...]:
        return (Half("first"), Half("second", self.second))

    @contextmanager
    def open(self, work: Path) -> Iterator[BatchFunction]:
        yield lambda work_items: [self.compute(work, w) for w in work_items]

    def compute(self, work: Path, work_item: WorkItem) -> Result:
        missing = [part for part in self.parts() if part.digest in work_item.parts]
        note(self.log, f"{work_item.item.source_id} {len(missing)}")
        if not (work / work_item.item.path).is_file():
            return Failed("the file is gone")
        return {part.digest: {"start": 24 * self.parts().index(part)} for part in missing}

    def apply_parts(self, item: Video, answers: Mapping[str, Answer]) -> Iterable[Clip]:
        for part in self.parts():
            start = answers[part.digest]["start"]
            yield clip(item, start, start + 24)

    def simulate(self, item: Video) -> Iterable[Clip]:
        return [clip(item, 0, 24), clip(item, 24, 48)]

    def forecast(self, items: Sequence[Video], work: Path) -> str:
        return f"{len(items)} videos to halve"


@dataclass(frozen=True)
class Letter(Stage[Clip, Clip], Paid, Batched):
    """Write captions at the post office: two cents a letter, one in flight of a whole bag."""

    office: Path = field(compare=False)
    """Folder of a service that answers each job when it is asked for the second time."""
    max_cost_usd: float | None = field(default=None, compare=False)
    by_post: bool = field(default=True, compare=False)
    input_types = (Clip,)
    provides = ("caption",)
    poll_seconds = 0.01

    @property
    def budget(self) -> float | None:
        return self.max_cost_usd

    @property
    def uses_batch_jobs(self) -> bool:
        return self.by_post

    def check(self) -> None:
        if not self.office.is_dir():
            raise UsageError(f"there is no post office at {str(self.office)!r}")

    def request(self, item: Clip) -> str:
        note(self.office / "written", item.id)
        return f"Describe {item.id}."

    def key(self, request: str) -> str:
        return request

    def worst_case_cost(self, request: str) -> float:
        return 0.02

    @contextmanager
    def open(self, work: Path) -> Iterator[Callable[[str], Answer]]:
        yield lambda request: {"text": request.upper(), "cost": 0.02}

    @contextmanager
    def open_batch_service(self, work: Path) -> Iterator[PostOffice]:
        yield PostOffice(self.office)

    def apply(self, item: Clip, answer: Answer) -> Iterable[Clip]:
        yield replace(item, caption=Caption(text=answer["text"], cost=answer["cost"]))


@dataclass(frozen=True)
class PostOffice:
    """A batch service in a folder: a file for each job."""

    folder: Path

    def write_request_files(
        self, requests: Mapping[str, str], on_error: Callable[[str, ItemError], None]
    ) -> Iterator[BatchRequestFile]:
        bag = self.folder / "bag"
        bag.write_text(json.dumps(dict(requests)))
        if requests:
            yield BatchRequestFile(bag, list(requests))

    def submit(self, job: str, request_file: BatchRequestFile) -> str:
        (self.folder / job).write_text(request_file.file.read_text())
        return job

    def find_job(self, job: str) -> str | None:
        return job if (self.folder / job).exists() else None

    def collect(self, id: str, log: Callable[[str], None]) -> Mapping[str, Answer] | None:
        asked = self.folder / f"{id}.asked"
        if not asked.exists():
            return asked.touch()
        requests = json.loads((self.folder / id).read_text())
        return {key: {"text": text.upper(), "cost": 0.01} for key, text in requests.items()}

    def cancel(self, id: str) -> None:
        (self.folder / f"{id}.asked").touch()
