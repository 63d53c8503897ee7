"""Sinks: stages that consume the frames of clips; adjacent sinks share one decode.

A sink also has `open_session(clip, work)`: the session receives the clip's frames in order and
returns the answer when closed. `FusedSinks` runs any number of sinks over clips of one video.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from brickfilm.digest import digest_of
from brickfilm.engine.calls import BatchFunction
from brickfilm.engine.capabilities import DryRun, MultiPart
from brickfilm.engine.stage import Answer, Part, Resources, Result, Stage, WorkItem
from brickfilm.errors import ItemError
from brickfilm.files import sync_path
from brickfilm.media import MAX_PARALLEL_PIXELS, Frame, VideoReader, check_unchanged, open_video
from brickfilm.records import Clip

SPANS_PER_CALL = 64
"""Spans of one video in one call: bounds memory, and lets captions start early."""
LARGE_FOLDER_BYTES = 4 << 20
"""Of the folder itself, without its files: on ext4 the names of about 60,000. File systems that
state no size of folders keep one large folder."""
DECODER_THREADS = 2
"""Decoder threads per video while its clips are written."""


class SinkSession(Protocol):
    """One sink's work on one clip; sessions of other clips run at the same time."""

    @property
    def needed_frames(self) -> Collection[int] | None:
        """Return the numbers of the frames that it uses, None for all; it may get others too."""

    def add(self, n: int, frame: Frame) -> None:
        """Consume frame number n of the video; frames come in order."""

    def close(self) -> Answer:
        """Finish after the last frame, and return the answer."""

    def abort(self) -> None:
        """Delete what was written, after an error."""


class Sink(Stage[Clip, Any], DryRun):
    """A stage that consumes a clip's frames; the pipeline runs it as a part of `FusedSinks`."""

    input_types = (Clip,)
    needs_source_file = True

    def open_session(self, clip: Clip, work: Path) -> SinkSession:
        """Start a session for a clip; files go below the work folder."""
        raise NotImplementedError

    def simulate(self, item: Clip) -> Iterable[Any]:
        return (item,)


def artefact_digest(sink: Sink, conversions: str) -> str:
    """Return 8 hex digits of a sink's settings and of a clip's conversions, for file names."""
    return digest_of([sink.digest, conversions], 8) if conversions else sink.digest[:8]


def artefact_folder(work: Path, kind: str, clip: Clip) -> Path:
    """Create the folder of a clip's files, and return it relative to the work folder.

    It is `kind`; once that is large, a folder in it with the first two digits of the clip's id.
    Answers name their files in full, so that those of before stay where they are.
    """
    folder = work / kind
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / clip.id[:2]
    if folder.stat().st_size > LARGE_FOLDER_BYTES:
        part.mkdir(exist_ok=True)
    return Path(kind, part.name) if part.is_dir() else Path(kind)


@dataclass(frozen=True)
class FusedSinks(Stage[Clip, Any], MultiPart, DryRun):
    """Adjacent sinks as one stage: one decode serves all, each has answers of its own."""

    sinks: tuple[Sink, ...]

    input_types = (Clip,)
    needs_source_file = True
    max_items_per_call = SPANS_PER_CALL

    @property
    def name(self) -> str:
        return " + ".join(sink.name for sink in self.sinks)

    @property
    def resources(self) -> Resources:
        return Resources(pool="process", concurrency=0)

    def parts(self) -> tuple[Part, ...]:
        return self.sinks

    def group(self, item: Clip) -> str:
        return item.video.id

    @contextmanager
    def open(self, work: Path) -> Iterator[BatchFunction]:  # type: ignore[override]
        yield lambda work_items: write_spans(work, self.sinks, work_items)

    def apply_parts(self, item: Clip, answers: Mapping[str, Answer]) -> Iterable[Any]:
        """Apply each sink in turn: clips go to the next sink, other records bypass it."""
        return self._chain(item, lambda sink, clip: sink.apply(clip, answers[sink.digest]))

    def _chain(self, item: Clip, step: Callable[[Sink, Clip], Iterable[Any]]) -> list[Any]:
        records: list[Any] = [item]
        for sink in self.sinks:
            records = [
                out
                for record in records
                for out in (step(sink, record) if isinstance(record, Clip) else (record,))
            ]
        return records

    def simulate(self, item: Clip) -> Iterable[Any]:
        return self._chain(item, lambda sink, clip: sink.simulate(clip))


def write_spans(work: Path, sinks: Sequence[Sink], work_items: Sequence[WorkItem]) -> list[Result]:
    """Run one video's clips through the sinks that lack an answer.

    Two segments of the video are written in parallel, each decoded once and in order: one encoder
    alone waits too often to keep two cores busy.
    """
    segments = split_by_frames(work_items)
    video = work_items[0].item.video
    if video.width * video.height > MAX_PARALLEL_PIXELS:
        segments = [[n for segment in segments for n in segment]]
    threads = DECODER_THREADS // len(segments)
    results: dict[int, Result] = {}
    with ThreadPoolExecutor(len(segments), thread_name_prefix="write") as pool:
        for part in pool.map(
            lambda s: _write_segment(work, sinks, work_items, s, threads), segments
        ):
            results |= part
    _sync_folders(work, results.values())
    return [results[n] for n in range(len(work_items))]


def _sync_folders(work: Path, results: Iterable[Result]) -> None:
    """Flush the names of written files to disk: an answer may be stored only after its files."""
    answers = [a for r in results if not isinstance(r, ItemError) for a in r.values()]
    files = {Path(file["path"]) for answer in answers for file in answer.get("files", ())}
    for folder in {folder for file in files for folder in file.parents} | {Path()}:
        sync_path(work / folder)


def split_by_frames(work_items: Sequence[WorkItem]) -> list[list[int]]:
    """Return positions of clips in the video's order, in one or two lists of similar length."""
    order = sorted(range(len(work_items)), key=lambda n: work_items[n].item.span)
    totals = list(itertools.accumulate(work_items[n].item.span.frames for n in order))
    half = min(range(1, len(order)), key=lambda n: abs(2 * totals[n - 1] - totals[-1]), default=1)
    return [segment for segment in (order[:half], order[half:]) if segment]


def _write_segment(
    work: Path,
    sinks: Sequence[Sink],
    work_items: Sequence[WorkItem],
    order: Sequence[int],
    threads: int,
) -> dict[int, Result]:
    results: dict[int, Result] = {}
    try:
        video = work_items[order[0]].item.video
        path, conversions = work / video.path, video.conversions
        with open_video(path, threads=threads, conversions=conversions) as reader:
            for n in order:
                results[n] = _write(work, reader, sinks, work_items[n])
                if reader.damage.found and reader.threads > 1:
                    reader.restart_strictly()
                    results[n] = _write(work, reader, sinks, work_items[n])
    except ItemError as error:
        results = {n: results.get(n, error) for n in order}
    return results


def _needed_by_all(sessions: Sequence[SinkSession], clip: Clip) -> set[int] | None:
    """Return the frames that any session uses; None if one uses all."""
    needed = [session.needed_frames for session in sessions]
    if None in needed:
        return None
    frames = range(clip.span.start_frame, clip.span.end_frame)
    return {n for some in needed for n in some or () if n in frames}


def _write(work: Path, reader: VideoReader, sinks: Sequence[Sink], work_item: WorkItem) -> Result:
    clip = work_item.item
    missing = [sink for sink in sinks if sink.digest in work_item.parts]
    sessions: list[SinkSession] = []
    try:
        sessions += [sink.open_session(clip, work) for sink in missing]
        only = _needed_by_all(sessions, clip)
        for frame in reader.span(clip.span, by_count=clip.video.needs_counting, only=only):
            for session in sessions:
                session.add(frame.number, frame)
        check_unchanged(work / clip.video.path, clip.video.file_state)
        return {s.digest: session.close() for s, session in zip(missing, sessions, strict=True)}
    except ItemError as error:
        for session in sessions:
            session.abort()
        return error
