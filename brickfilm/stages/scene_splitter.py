"""Find the shots of a film, and score each while looking."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from brickfilm.detectors import Adaptive, Content, Detector, HoldAware
from brickfilm.engine.stage import Answer, Part, Resources, Result, Stage, WorkItem
from brickfilm.errors import ItemError, Rejected, UsageError
from brickfilm.measures import DEFAULT_MEASURES
from brickfilm.media import opened
from brickfilm.records import Clip, Span, Video
from brickfilm.scan.analyzer import Floats, Measure, Observer, Rows, observe, unpacked
from brickfilm.scan.held_frames import Drawings, new_drawings
from brickfilm.scan.timestamps import Timeline, Times

Scan = Callable[[Video, Sequence[Observer]], dict[str, Answer]]
Stretch = tuple[int, int]
"""Frames [start, end)."""

BY_NAME: dict[str, Callable[[], Detector]] = {
    "holds": HoldAware,
    "adaptive": Adaptive,
    "content": Content,
}


@dataclass(frozen=True, kw_only=True)
class SceneSplitter(Stage[Video, Clip]):
    """Cuts a film into shots of `min_frames` to `max_frames`, with a score for every measure.

    The film is decoded once, small, for the detector and all measures together. Where the shots
    begin and what they score is arithmetic over what was seen, so other lengths scan nothing. A
    longer shot is split into equal parts; a film without a cut is one shot.
    """

    version: ClassVar[int] = 1
    input_types = (Video,)
    output_types = (Clip,)
    needs_source_file = True
    runs_in_dry_run = True

    min_frames: int = 15
    max_frames: int = 200
    detector: Detector | Literal["holds", "adaptive", "content"] = "holds"
    measures: tuple[Measure, ...] = DEFAULT_MEASURES
    threads: int = field(default=2, compare=False)
    """That decode: groups of pictures side by side, or FFmpeg's own in films without groups."""

    def __post_init__(self) -> None:
        if not 1 <= self.min_frames <= self.max_frames:
            raise UsageError(
                f"SceneSplitter(min_frames={self.min_frames}, max_frames={self.max_frames}): "
                "give 1 <= min_frames <= max_frames"
            )
        if isinstance(self.detector, str):
            object.__setattr__(self, "detector", _detector(self.detector))
        names = [name for measure in self.measures for name in measure.provides]
        object.__setattr__(self, "provides", tuple(names))

    @property
    def resources(self) -> Resources:
        return Resources(pool="process", concurrency=0)

    @property
    def observers(self) -> tuple[Observer, ...]:
        """All that look at frames; measures without columns only reckon."""
        assert isinstance(self.detector, Detector)
        every = (Timeline(), Drawings(), self.detector, *self.measures)
        return tuple({observer.digest: observer for observer in every if observer.columns}.values())

    def parts(self) -> tuple[Part, ...]:
        return self.observers

    @contextmanager
    def open(self, work: Path) -> Iterator[Scan]:  # type: ignore[override]
        def scan(video: Video, observers: Sequence[Observer]) -> dict[str, Answer]:
            with opened(work / video.path, threads=self.threads) as film:
                return observe(film, video, observers)

        with _one_opencv_thread():
            yield scan

    def run_batch(self, compute: Scan, work_items: Sequence[WorkItem]) -> list[Result]:
        return [self._scanned(compute, work_item) for work_item in work_items]

    def _scanned(self, compute: Scan, work_item: WorkItem) -> Result:
        try:
            return compute(
                work_item.item, [o for o in self.observers if o.digest in work_item.parts]
            )
        except ItemError as error:
            return error

    def apply_parts(self, item: Video, answers: Mapping[str, Answer]) -> Iterable[Clip | Rejected]:
        seen = Seen.of(item, answers)
        video = replace(item, frames=len(seen.times), non_monotonic_pts=bool(seen.times.jumps))
        assert isinstance(self.detector, Detector)
        shots = self.detector.shots(seen.rows(self.detector))
        for start, end in apart(between(shots, len(seen.times)), seen.times.breaks):
            told = f"frames {start}-{end}: {end - start} of a fade"
            yield Rejected(told, reason="fade", record=seen.stretch(video, start, end))
        for start, end in apart(shots, seen.times.breaks):
            if end - start < self.min_frames:
                yield Rejected(
                    f"frames {start}-{end}: a shot of {end - start}, "
                    f"at least {self.min_frames} were asked",
                    reason="too short",
                    record=seen.stretch(video, start, end),
                )
                continue
            for part in equal_parts(start, end, self.max_frames):
                yield self._clip(video, seen, part)

    def _clip(self, video: Video, seen: Seen, part: Stretch) -> Clip:
        span = seen.times.span(*part)
        scores: dict[str, float] = {}
        for measure in self.measures:
            scores.update(measure.summarise(seen.rows(measure).of(span)))
        new = seen.new_in(span)
        return Clip(video=video, span=span, scores=scores, unique_frames=new)


@dataclass(frozen=True)
class Seen:
    """One film's answers, ready to reckon with."""

    times: Times
    new: np.ndarray[Any, np.dtype[np.bool_]]
    answers: Mapping[str, Answer]
    unpacked: dict[str, Floats] = field(default_factory=dict)

    @classmethod
    def of(cls, video: Video, answers: Mapping[str, Answer]) -> Seen:
        times = Times.of(answers[Timeline().digest], video.time_base)
        return cls(times, new_drawings(unpacked(answers[Drawings().digest])), answers)

    def stretch(self, video: Video, start: int, end: int) -> Clip:
        """Frames that will be no clip, so that what is left out is counted by its own seconds."""
        return Clip(video=video, span=self.times.span(start, end))

    def new_in(self, span: Span) -> tuple[int, ...]:
        """Positions in a span that show a new drawing; the first does."""
        later = np.flatnonzero(self.new[span.start_frame + 1 : span.end_frame]) + 1
        return (0, *(int(n) for n in later))

    def rows(self, observer: Observer) -> Rows:
        """What an observer saw of the whole film: unpacked once, asked for every clip."""
        if observer.digest not in self.unpacked:
            self.unpacked[observer.digest] = self._values(observer)
        return Rows(self.unpacked[observer.digest], self.times.seconds, self.new)

    def _values(self, observer: Observer) -> Floats:
        if observer.columns:
            return unpacked(self.answers[observer.digest])
        return np.empty((len(self.times), 0), np.float32)


def between(shots: Sequence[Stretch], frames: int) -> Iterator[Stretch]:
    """The frames that belong to no shot."""
    starts, ends = [0, *(end for _, end in shots)], [*(start for start, _ in shots), frames]
    return ((start, end) for start, end in zip(starts, ends, strict=True) if end > start)


def apart(shots: Iterable[Stretch], breaks: Sequence[int]) -> Iterator[Stretch]:
    """Shots divided wherever the film's clock or size breaks inside them."""
    for start, end in shots:
        edges = [start, *(n for n in breaks if start < n < end), end]
        yield from pairwise(edges)


def equal_parts(start: int, end: int, longest: int) -> Iterator[Stretch]:
    """As few parts as none is longer than `longest`; their lengths differ by one at most."""
    count = -(-(end - start) // longest)
    edges = [start + (end - start) * k // count for k in range(count + 1)]
    return pairwise(edges)


@contextmanager
def _one_opencv_thread() -> Iterator[None]:
    """OpenCV's own threads take a fifth of a scan's CPU time on frames this small, and no less."""
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _detector(name: str) -> Detector:
    if name not in BY_NAME:
        raise UsageError(
            f"SceneSplitter(detector={name!r}): known are {', '.join(BY_NAME)}, or give a Detector"
        )
    return BY_NAME[name]()
