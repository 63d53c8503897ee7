"""Decode the stored answers of a scan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from brickfilm.engine.stage import Answer
from brickfilm.media import SEQUENCE_FORMAT
from brickfilm.records import Clip, Span, Video
from brickfilm.scan.analyzer import FloatArray, FrameAnalyzer, FrameMetrics, unpack_array
from brickfilm.scan.frame_ranges import FrameRange, split_at_forced_cuts
from brickfilm.scan.held_frames import FrameDifference, find_unique_frames
from brickfilm.scan.lost_footage import missing_seconds, missing_still_seconds
from brickfilm.scan.timestamps import FrameTimestamps, TimestampAnalyzer


@dataclass(frozen=True)
class ScanResult:
    """The decoded answers of all parts for one video."""

    times: FrameTimestamps
    is_unique: NDArray[np.bool_]
    answers: Mapping[str, Answer]
    values_by_digest: dict[str, FloatArray] = field(default_factory=dict)

    @classmethod
    def from_answers(cls, video: Video, answers: Mapping[str, Answer]) -> ScanResult:
        times = FrameTimestamps.from_answer(
            answers[TimestampAnalyzer().digest],
            video.time_base,
            are_stills=video.format.startswith(SEQUENCE_FORMAT),
        )
        differences = unpack_array(answers[FrameDifference().digest])
        return cls(times, find_unique_frames(differences), answers)

    def measured(self, video: Video) -> Video:
        """Return a video with what its frames tell of it, rather than its header."""
        missing = missing_seconds(video, self.times) + missing_still_seconds(self.times)
        return replace(
            video,
            frames=len(self.times),
            non_monotonic_pts=bool(self.times.backward_jumps),
            needs_counting=self.times.needs_counting,
            duration=self.times.shown_seconds() + missing,
        )

    def divided(self, ranges: Iterable[FrameRange]) -> Iterator[FrameRange]:
        """Yield frame ranges, divided at the forced cuts inside them, without damaged frames."""
        pieces = split_at_forced_cuts(ranges, self.times.forced_cuts)
        return (piece for piece in pieces if not self.times.is_damaged[piece[0]])

    def excluded_clip(self, video: Video, start: int, end: int) -> Clip:
        """Return frames that become no clip as a record, whose seconds the report counts."""
        return Clip(video=video, span=self.times.span(start, end))

    def unique_frames_in(self, span: Span) -> tuple[int, ...]:
        """Return the positions in a span of unique frames, the first included."""
        later = np.flatnonzero(self.is_unique[span.start_frame + 1 : span.end_frame]) + 1
        return (0, *(int(n) for n in later))

    def metrics(self, analyzer: FrameAnalyzer) -> FrameMetrics:
        """Return an analyzer's metrics of the whole video; unpacked once."""
        if analyzer.digest not in self.values_by_digest:
            self.values_by_digest[analyzer.digest] = self._values(analyzer)
        return FrameMetrics(
            self.values_by_digest[analyzer.digest], self.times.seconds, self.is_unique
        )

    def _values(self, analyzer: FrameAnalyzer) -> FloatArray:
        if analyzer.columns:
            return unpack_array(self.answers[analyzer.digest])
        return np.empty((len(self.times), 0), np.float32)
