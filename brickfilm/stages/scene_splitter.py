"""Split videos into shots and score each shot, in one reduced decode."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

from brickfilm.detectors import Detector
from brickfilm.detectors.by_name import AUTO, named_detector
from brickfilm.detectors.found_shots import (
    Edge,
    FoundShots,
    describe_shots,
    described_scores,
    find_shots,
)
from brickfilm.digest import field_added_later
from brickfilm.engine.calls import BatchFunction, result_of
from brickfilm.engine.capabilities import MultiPart, Trims
from brickfilm.engine.stage import Answer, Part, Resources, Stage, WorkItem
from brickfilm.errors import Rejected, UsageError
from brickfilm.measures import ALL_MEASURES, FIRST_MEASURES, MEASURE_SETS
from brickfilm.media import open_video, unchanged
from brickfilm.records import GIVEN_BY_SOURCE, Caption, Clip, GivenSpan, Video
from brickfilm.scan.analyzer import FrameAnalyzer, Measure, analyze_frames
from brickfilm.scan.frame_ranges import (
    FrameRange,
    ranges_outside,
    split_evenly,
    split_for_lengths,
)
from brickfilm.scan.given_spans import ranges_beside, ranges_of_spans
from brickfilm.scan.held_frames import FrameDifference
from brickfilm.scan.lost_footage import check_clock, lost_footage
from brickfilm.scan.scan_result import ScanResult
from brickfilm.scan.timestamps import TimestampAnalyzer
from brickfilm.scan.wipes import WipeAnalyzer, find_wipes
from brickfilm.schema.training_lengths import TrainingLengths

UNNAMED_DETECTORS = ("holds", "adaptive", "content")
"""Detectors older than the column that names them: naming them now would rewrite old datasets."""
LISTED: Edge = ("listed", 1.0)
"""Edge of a clip that a source lists: nothing is in doubt."""


@dataclass(frozen=True, kw_only=True)
class SceneSplitter(Stage[Video, Clip], MultiPart, Trims):
    """Split a video into shots of `min_frames` to `max_frames`, with the scores of all measures.

    Each video is decoded once, reduced, for the detector and all measures. Shots and scores are
    computed from the stored metrics, so other lengths decode nothing. A longer shot is split into
    equal parts; a video without a cut is one shot. Spans that a source lists are clips as they are,
    of whatever length from `min_frames` on: nothing is detected.
    """

    version: ClassVar[int] = 1
    input_types = (Video,)
    output_types = (Clip,)
    needs_source_file = True
    runs_in_dry_run = True

    min_frames: int = 15
    max_frames: int = 200
    """Longest clip; raised to the longest length of `for_training`."""
    detector: (
        Detector | Literal["auto", "holds", "layout", "joint", "transnetv2", "adaptive", "content"]
    ) = "auto"
    """'auto' is the work folder's; in a new one 'joint' with the extra `shots`, else 'layout'."""
    measures: tuple[Measure, ...] | Literal["auto", "first", "default", "all"] = "auto"
    """'auto' is the work folder's set, in a new one 'default'; 'first' is that of folders built
    before sets were recorded, 'all' adds measures that cost more than decoding."""
    for_training: TrainingLengths | str | None = field_added_later(None)  # noqa: RUF009
    """Split long shots into lengths that a training can use: those of a model (`"wan2.1"`), or of a
    recipe of `finetune` by its path or name."""
    describe_cuts: bool | None = field(
        default=None, compare=False, repr=False, metadata={"planned": True}
    )
    """Find wipes, name transitions and score cuts, with a detector that can. None is True, but in a
    work folder that an older version cut, where clips would change, it is False."""
    is_automatic: bool = field(default=False, compare=False, repr=False)
    """True if a build may choose the detector; set by `detector="auto"`."""
    shot_detector: str = field(init=False, compare=False, repr=False, metadata={"planned": True})
    """Name of the detector, in the column of this name and in the plan of the build."""
    has_automatic_measures: bool = field(default=False, compare=False, repr=False)
    """True if a build may choose the measures; set by `measures="auto"`."""
    measure_set: str = field(init=False, compare=False, repr=False, metadata={"planned": True})
    """Name of the largest set among the measures, for the plan of the build; '' for none."""
    threads: int = field(default=2, compare=False)
    """Threads per video: as many decode, one group of pictures each or FFmpeg's own without groups,
    and as many measure. Damaged and very large videos take one."""

    def __post_init__(self) -> None:
        if not 1 <= self.min_frames <= self.max_frames:
            raise UsageError(
                f"SceneSplitter(min_frames={self.min_frames}, max_frames={self.max_frames}): "
                "give 1 <= min_frames <= max_frames"
            )
        if isinstance(self.for_training, str):
            object.__setattr__(self, "for_training", TrainingLengths.of(self.for_training))
        if isinstance(self.detector, str):
            object.__setattr__(self, "is_automatic", self.detector == AUTO)
            object.__setattr__(self, "detector", named_detector(self.detector))
        object.__setattr__(self, "shot_detector", self._detector.name)
        if isinstance(self.measures, str):
            object.__setattr__(self, "has_automatic_measures", self.measures == AUTO)
            object.__setattr__(self, "measures", named_measures(self.measures))
        if self.measures != FIRST_MEASURES:
            object.__setattr__(self, "has_automatic_measures", False)
        sets = [n for n, measures in MEASURE_SETS.items() if set(measures) <= set(self._measures)]
        object.__setattr__(self, "measure_set", ["", *sets][-1])
        scores = [name for measure in self._measures for name in measure.provides]
        described = described_scores(self._detector) if self._describes else ()
        object.__setattr__(self, "provides", (*scores, *described))

    @property
    def _detector(self) -> Detector:
        assert isinstance(self.detector, Detector)
        return self.detector

    @property
    def _describes(self) -> bool:
        return self.describe_cuts is not False and bool(described_scores(self._detector))

    @property
    def _measures(self) -> tuple[Measure, ...]:
        assert isinstance(self.measures, tuple)
        return self.measures

    def with_measures(self, name: str, scores: Iterable[str] = ()) -> SceneSplitter:
        """Return the stage with a set of measures, and with those that give `scores` besides."""
        measures, wanted = named_measures(name), set(scores)
        extra = (m for m in ALL_MEASURES if m not in measures and wanted & set(m.provides))
        return replace(self, measures=(*measures, *extra), has_automatic_measures=name == AUTO)

    def with_detector(self, name: str) -> SceneSplitter:
        """Return the stage with the detector of a name; UsageError if there is none."""
        return replace(self, detector=named_detector(name), is_automatic=name == AUTO)

    def check(self) -> None:
        """Raise UsageError if the detector's extra is missing."""
        self._detector.check()

    @property
    def resources(self) -> Resources:
        return Resources(pool="process", concurrency=0)

    @property
    def analyzers(self) -> tuple[FrameAnalyzer, ...]:
        """Return the parts that analyze frames; measures without columns only use the metrics."""
        wipes = (WipeAnalyzer(),) if self._describes else ()
        every = (TimestampAnalyzer(), FrameDifference(), self._detector, *self._measures, *wipes)
        return tuple({analyzer.digest: analyzer for analyzer in every if analyzer.columns}.values())

    def parts(self) -> tuple[Part, ...]:
        return self.analyzers

    @contextmanager
    def open(self, work: Path) -> Iterator[BatchFunction]:  # type: ignore[override]
        def scan(work_item: WorkItem) -> dict[str, Answer]:
            video = work_item.item
            missing = [a for a in self.analyzers if a.digest in work_item.parts]
            path, conversions = work / video.path, video.conversions
            with (
                unchanged(path, video.file_state),
                open_video(path, threads=self.threads, conversions=conversions) as reader,
            ):
                return analyze_frames(reader, video, missing)

        with _one_opencv_thread():
            yield lambda work_items: [result_of(partial(scan, w)) for w in work_items]

    def apply_parts(self, item: Video, answers: Mapping[str, Answer]) -> Iterable[Clip | Rejected]:
        scan = ScanResult.from_answers(item, answers)
        check_clock(item, scan.times, self.min_frames)
        video = scan.measured(item)
        found = self._found_shots(scan)
        yield from lost_footage(video, scan.times)
        if video.spans:
            yield from self._given_clips(video, scan, found)
            return
        for start, end in scan.divided(ranges_outside(found.shots, len(scan.times))):
            kind = found.kind_between(start, end)
            message = f"frames {start}-{end}: {end - start} frames of a {kind}"
            yield Rejected(message, reason=kind, record=scan.excluded_clip(video, start, end))
        for start, end in scan.divided(found.shots):
            if end - start < self.min_frames:
                yield self._too_short(video, scan, (start, end))
                continue
            for part in self._parts_of_shot(start, end, video.fps):
                if self.for_training and part[1] - part[0] < self.min_frames:
                    yield self._too_short(video, scan, part)
                else:
                    yield self._clip(video, scan, part, found)

    def trimmed(
        self, item: Video, answers: Mapping[str, Answer], clip: Clip, start: int, end: int
    ) -> Clip:
        scan = ScanResult.from_answers(item, answers)
        given = GivenSpan() if item.spans else None
        shots = self._found_shots(scan)
        made = self._clip(scan.measured(item), scan, (start, end), shots, given)
        return replace(made.with_image_at(clip.middle_frame), caption=clip.caption)

    def _found_shots(self, scan: ScanResult) -> FoundShots:
        metrics = scan.metrics(self._detector)
        if not self._describes:
            return find_shots(self._detector, metrics)
        wipes = find_wipes(scan.metrics(WipeAnalyzer()).values)
        return describe_shots(self._detector, metrics, wipes, scan.times.forced_cuts)

    def _given_clips(
        self, video: Video, scan: ScanResult, shots: FoundShots
    ) -> Iterator[Clip | Rejected]:
        """Yield the spans that the source lists; the frames of a span that is no clip are lost."""
        listed: list[FrameRange] = []
        for span, found in ranges_of_spans(scan.times, video.spans):
            if isinstance(found, Rejected):
                yield found
                continue
            listed.append(found)
            for part in scan.divided([found]):
                if part[1] - part[0] < self.min_frames:
                    yield self._too_short(video, scan, part)
                else:
                    yield self._clip(video, scan, part, shots, span)
        for start, end in scan.divided(ranges_beside(listed, len(scan.times))):
            message = f"frames {start}-{end}: the source lists no span there"
            record = scan.excluded_clip(video, start, end)
            yield Rejected(message, reason="not listed", record=record)

    def _parts_of_shot(self, start: int, end: int, fps: Fraction) -> Iterator[FrameRange]:
        if self.for_training is None:
            return split_evenly(start, end, self.max_frames)
        assert isinstance(self.for_training, TrainingLengths)
        lengths = self.for_training.at(fps)
        return split_for_lengths(start, end, max(self.max_frames, *lengths), lengths)

    def _too_short(self, video: Video, scan: ScanResult, part: FrameRange) -> Rejected:
        start, end = part
        message = (
            f"frames {start}-{end}: a shot of {end - start} frames, min_frames is {self.min_frames}"
        )
        record = scan.excluded_clip(video, start, end)
        return Rejected(message, reason="too short", record=record)

    def _clip(
        self,
        video: Video,
        scan: ScanResult,
        part: FrameRange,
        shots: FoundShots,
        given: GivenSpan | None = None,
    ) -> Clip:
        span = scan.times.span(*part)
        scores: dict[str, float] = {}
        for measure in self._measures:
            scores.update(measure.scores(scan.metrics(measure).in_span(span)))
        edges = (LISTED, LISTED) if given else shots.edges(*part)
        unique_frames = scan.unique_frames_in(span)
        text = given.caption if given else ""
        is_unnamed = given is not None or self.shot_detector in UNNAMED_DETECTORS
        return Clip(
            video=video,
            span=span,
            scores={**scores, **shots.scores(*part, edges)},
            unique_frames=unique_frames,
            caption=Caption(text=text, model=GIVEN_BY_SOURCE) if text else None,
            shot_detector="" if is_unnamed else self.shot_detector,
            transitions=tuple(kind for kind, _ in edges) if self._describes else (),
        )


@contextmanager
def _one_opencv_thread() -> Iterator[None]:
    """Turn OpenCV's threads off: on reduced frames they cost 20 % of the CPU time and gain none."""
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def named_measures(name: str) -> tuple[Measure, ...]:
    """Return the measures of a set; 'auto' without a work folder is 'first'."""
    if name != AUTO and name not in MEASURE_SETS:
        names = ", ".join((AUTO, *MEASURE_SETS))
        raise UsageError(f"SceneSplitter(measures={name!r}): give {names} or a tuple of measures")
    return FIRST_MEASURES if name == AUTO else MEASURE_SETS[name]
