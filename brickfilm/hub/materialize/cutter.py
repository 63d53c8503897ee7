"""Cut spans of a source video with the settings of a published dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from brickfilm.dataset.reader import SavedDataset
from brickfilm.dataset.rows import DatasetRow, video_id_of
from brickfilm.engine.sinks import write_spans
from brickfilm.engine.stage import WorkItem
from brickfilm.errors import ItemError, UsageError
from brickfilm.hub.materialize.results import CutClip
from brickfilm.hub.publish.provenance import load_provenance
from brickfilm.media import open_video
from brickfilm.records import Clip, Image, Span, Video
from brickfilm.scan.analyzer import analyze_frames
from brickfilm.scan.held_frames import FrameDifference
from brickfilm.scan.scan_result import ScanResult
from brickfilm.scan.timestamps import FrameTimestamps, TimestampAnalyzer
from brickfilm.stages import ClipWriter, FrameSampler

MAX_THREADS = 64
"""Most encoder threads that a dataset's settings may ask for."""


@dataclass(frozen=True)
class ClipCutter:
    """Writes clips and their middle frames."""

    work: Path
    writer: ClipWriter
    sampler: FrameSampler

    @classmethod
    def from_dataset(cls, dataset: SavedDataset, work: Path) -> ClipCutter:
        """Take the settings from the dataset's provenance; use the defaults for missing ones."""
        stages = {
            stage["name"]: stage["settings"] for stage in load_provenance(dataset).stages or ()
        }
        writer = ClipWriter(**_writer_settings(stages.get("ClipWriter", {})))
        return cls(work.resolve(), writer, FrameSampler(at=(0.5,), images=True))

    def cut(self, clips: Sequence[Clip]) -> list[CutClip]:
        """Write each clip and its middle frame, in one decode of the video."""
        sinks = (self.writer, self.sampler)
        digests = frozenset(sink.digest for sink in sinks)
        results = write_spans(self.work, sinks, [WorkItem(clip, digests) for clip in clips])
        return [
            answers if isinstance(answers, ItemError) else self._records(clip, answers)
            for clip, answers in zip(clips, results, strict=True)
        ]

    def _records(self, clip: Clip, answers: Mapping[str, Any]) -> tuple[Clip, Image]:
        (written,) = self.writer.apply(clip, answers[self.writer.digest])
        sampled, image = self.sampler.apply(written, answers[self.sampler.digest])
        assert isinstance(sampled, Clip) and isinstance(image, Image)
        return sampled, image


def _writer_settings(published: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of ClipWriter; raise UsageError for a value of another kind."""
    settings = {f.name: published[f.name] for f in fields(ClipWriter) if f.name in published}
    if isinstance(settings.get("keyframes"), list):
        settings["keyframes"] = tuple(settings["keyframes"])
    for name, value in settings.items():
        default = getattr(ClipWriter(), name)
        kinds = (int, type(None)) if default is None else (type(default),)
        is_bool = isinstance(value, bool) and not isinstance(default, bool)
        is_excessive = name == "threads" and value not in range(1, MAX_THREADS + 1)
        if is_bool or is_excessive or not isinstance(value, kinds):
            raise UsageError(
                f"the dataset was published with ClipWriter({name}={value!r}), which is not valid: "
                "materialize another dataset"
            )
    return settings


def scan(work: Path, video: Video) -> ScanResult:
    """Decode a source once for the timestamps of its frames, by the rules of a build's scan."""
    parts = (TimestampAnalyzer(), FrameDifference())
    with open_video(work / video.path, conversions=video.conversions) as reader:
        return ScanResult.from_answers(video, analyze_frames(reader, video, parts))


def clip_of_row(
    row: DatasetRow, image: DatasetRow | None, video: Video, times: FrameTimestamps
) -> Clip:
    """Return the clip of a row, with its image at the frame that the image's id names."""
    clip = Clip(video=video, span=span_of_row(row, video, times))
    if image is None:
        return clip
    clip_id, _, frame = image["id"].rpartition("-f")
    offset = int(frame) - int(clip_id.rsplit("-", 2)[1])
    return clip.with_image_at(clip.span.start_frame + offset)


def span_of_row(row: DatasetRow, video: Video, times: FrameTimestamps) -> Span:
    """Return the span of a row: by frame numbers in the same file, by seconds in another."""
    if video_id_of(row["id"]) == video.id:
        first, last = int(row["start_frame"]), int(row["end_frame"])
    else:
        first = int(np.abs(times.seconds - row["start"]).argmin())
        last = int(np.abs(times.end_seconds - row["end"]).argmin()) + 1
    first = min(first, len(times) - 1)
    return times.span(first, min(max(last, first + 1), len(times)))
