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
from brickfilm.media import open_video
from brickfilm.records import Clip, Span, Video
from brickfilm.scan.analyzer import (
    FloatArray,
    FrameAnalyzer,
    FrameMetrics,
    Measure,
    analyze_frames,
    unpack_array,
)
from brickfilm.scan.held_frames import FrameDifference, find_unique_frames
from brickfilm.scan.timestamps import FrameTimestamps, TimestampAnalyzer

ScanFunction = Callable[[Video, Sequence[FrameAnalyzer]], dict[str, Answer]]
FrameRange = tuple[int, int]
"""Frames [start, end)."""

DETECTORS_BY_NAME: dict[str, Callable[[], Detector]] = {
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
    def analyzers(self) -> tuple[FrameAnalyzer, ...]:
        """All that look at frames; measures without columns only reckon."""
        assert isinstance(self.detector, Detector)
        every = (TimestampAnalyzer(), FrameDifference(), self.detector, *self.measures)
        return tuple({analyzer.digest: analyzer for analyzer in every if analyzer.columns}.values())

    def parts(self) -> tuple[Part, ...]:
        return self.analyzers

    @contextmanager
    def open(self, work: Path) -> Iterator[ScanFunction]:  # type: ignore[override]
        def scan(video: Video, analyzers: Sequence[FrameAnalyzer]) -> dict[str, Answer]:
            with open_video(work / video.path, threads=self.threads) as reader:
                return analyze_frames(reader, video, analyzers)

        with _one_opencv_thread():
            yield scan

    def run_batch(self, compute: ScanFunction, work_items: Sequence[WorkItem]) -> list[Result]:
        return [self._scanned(compute, work_item) for work_item in work_items]

    def _scanned(self, compute: ScanFunction, work_item: WorkItem) -> Result:
        try:
            return compute(
                work_item.item, [o for o in self.analyzers if o.digest in work_item.parts]
            )
        except ItemError as error:
            return error

    def apply_parts(self, item: Video, answers: Mapping[str, Answer]) -> Iterable[Clip | Rejected]:
        seen = ScanResult.from_answers(item, answers)
        video = replace(
            item, frames=len(seen.times), non_monotonic_pts=bool(seen.times.discontinuities)
        )
        assert isinstance(self.detector, Detector)
        shots = self.detector.shots(seen.metrics(self.detector))
        for start, end in split_at_forced_cuts(
            ranges_outside(shots, len(seen.times)), seen.times.forced_cuts
        ):
            told = f"frames {start}-{end}: {end - start} of a fade"
            yield Rejected(told, reason="fade", record=seen.excluded_clip(video, start, end))
        for start, end in split_at_forced_cuts(shots, seen.times.forced_cuts):
            if end - start < self.min_frames:
                yield Rejected(
                    f"frames {start}-{end}: a shot of {end - start}, "
                    f"at least {self.min_frames} were asked",
                    reason="too short",
                    record=seen.excluded_clip(video, start, end),
                )
                continue
            for part in split_evenly(start, end, self.max_frames):
                yield self._clip(video, seen, part)

    def _clip(self, video: Video, seen: ScanResult, part: FrameRange) -> Clip:
        span = seen.times.span(*part)
        scores: dict[str, float] = {}
        for measure in self.measures:
            scores.update(measure.summarise(seen.metrics(measure).in_span(span)))
        unique_frames = seen.unique_frames_in(span)
        return Clip(video=video, span=span, scores=scores, unique_frames=unique_frames)


@dataclass(frozen=True)
class ScanResult:
    """One film's answers, ready to reckon with."""

    times: FrameTimestamps
    is_unique: np.ndarray[Any, np.dtype[np.bool_]]
    answers: Mapping[str, Answer]
    values_by_digest: dict[str, FloatArray] = field(default_factory=dict)

    @classmethod
    def from_answers(cls, video: Video, answers: Mapping[str, Answer]) -> ScanResult:
        times = FrameTimestamps.from_answer(answers[TimestampAnalyzer().digest], video.time_base)
        return cls(
            times, find_unique_frames(unpack_array(answers[FrameDifference().digest])), answers
        )

    def excluded_clip(self, video: Video, start: int, end: int) -> Clip:
        """Frames that will be no clip, so that what is left out is counted by its own seconds."""
        return Clip(video=video, span=self.times.span(start, end))

    def unique_frames_in(self, span: Span) -> tuple[int, ...]:
        """Positions in a span that show a new drawing; the first does."""
        later = np.flatnonzero(self.is_unique[span.start_frame + 1 : span.end_frame]) + 1
        return (0, *(int(n) for n in later))

    def metrics(self, analyzer: FrameAnalyzer) -> FrameMetrics:
        """What an observer saw of the whole film: unpacked once, asked for every clip."""
        if analyzer.digest not in self.values_by_digest:
            self.values_by_digest[analyzer.digest] = self._values(analyzer)
        return FrameMetrics(
            self.values_by_digest[analyzer.digest], self.times.seconds, self.is_unique
        )

    def _values(self, analyzer: FrameAnalyzer) -> FloatArray:
        if analyzer.columns:
            return unpack_array(self.answers[analyzer.digest])
        return np.empty((len(self.times), 0), np.float32)


def ranges_outside(shots: Sequence[FrameRange], frames: int) -> Iterator[FrameRange]:
    """The frames that belong to no shot."""
    starts, ends = [0, *(end for _, end in shots)], [*(start for start, _ in shots), frames]
    return ((start, end) for start, end in zip(starts, ends, strict=True) if end > start)


def split_at_forced_cuts(
    shots: Iterable[FrameRange], forced_cuts: Sequence[int]
) -> Iterator[FrameRange]:
    """Shots divided wherever the film's clock or size breaks inside them."""
    for start, end in shots:
        edges = [start, *(n for n in forced_cuts if start < n < end), end]
        yield from pairwise(edges)


def split_evenly(start: int, end: int, longest: int) -> Iterator[FrameRange]:
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
    if name not in DETECTORS_BY_NAME:
        raise UsageError(
            f"SceneSplitter(detector={name!r}): known are {', '.join(DETECTORS_BY_NAME)}, or give a Detector"
        )
    return DETECTORS_BY_NAME[name]()
