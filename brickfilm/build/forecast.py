"""Forecast of a build after a dry run: requests, downloads and clips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Protocol, runtime_checkable

from brickfilm.build.built_dataset import BrickfilmDataset
from brickfilm.engine.capabilities import DryRun
from brickfilm.engine.pipeline import Pipeline, Source
from brickfilm.engine.run import PipelineRun
from brickfilm.records import Clip, Listing, Video
from brickfilm.schema.frame_sampling import poses
from brickfilm.schema.plural import pluralize
from brickfilm.schema.training_recipe import ClipShape
from brickfilm.stages import ClipWriter, FrameSampler


@runtime_checkable
class DownloadForecaster(Protocol):
    """A source that can estimate a download."""

    def forecast(self, listings: Sequence[Listing]) -> object:
        """Return an estimate whose `str` describes it."""


def forecast_lines(source: Source, run: PipelineRun, work: Path) -> Iterator[str]:
    """Describe the pending items of each stage, the videos to download, and what is left out."""
    for queue in run.queues:
        if not (items := [w.item for w in run.pending_items[queue.position]]):
            continue
        stage = queue.stage
        to_do = stage.forecast(items, work) if isinstance(stage, DryRun) else f"{len(items)} to do"
        yield f"{stage.name}: {to_do}"
        if Video in stage.output_types and isinstance(source, DownloadForecaster):
            yield from (f"  {listing.source_id}  {listing.title}" for listing in items)
            yield str(source.forecast(items))
    rejected = [r for r in run.item_results if r.status == "rejected"]
    counts = Counter((r.position, r.stage, r.kind, r.reason) for r in rejected)
    for (_, name, kind, reason), count in sorted(counts.items()):
        yield f"{name}: {pluralize(count, kind)} rejected, {reason}"


def planned_lengths(run: PipelineRun) -> list[tuple[int, Fraction]]:
    """Return (frames, fps) of all finished and pending clips."""
    return [(clip.span.frames, clip.fps) for clip in _planned_clips(run)]


def built_lengths(dataset: BrickfilmDataset) -> list[tuple[int, Fraction]]:
    """Return (frames, fps) of the clips of a built dataset."""
    splits = [rows.remove_columns("video") for rows in dataset["clips"].values()]
    rows = [row for split in splits for row in split]
    return [(row["num_frames"], Fraction(row["fps_num"], row["fps_den"])) for row in rows]


def _planned_clips(run: PipelineRun) -> list[Clip]:
    pending = [w.item for work_items in run.pending_items.values() for w in work_items]
    clips = {item.id: item for item in [*run.finished, *pending] if isinstance(item, Clip)}
    return list(clips.values())


def planned_clip_shapes(pipeline: Pipeline, run: PipelineRun) -> Iterator[ClipShape]:
    """Yield the shapes of all finished and pending clips, and of their images."""
    stages = pipeline.original_stages
    limits = [s.max_height for s in stages if isinstance(s, ClipWriter) and s.max_height]
    has_images = any(s.images for s in stages if isinstance(s, FrameSampler))
    for clip in _planned_clips(run):
        width, height = clip.width or clip.video.width, clip.height or clip.video.height
        scale = min([1.0, *(limit / height for limit in limits)])
        size = round(height * scale), round(width * scale)
        drawings = len(poses(clip.unique_frames)) if clip.unique_frames else 0
        yield ClipShape(clip.span.frames, *size, clip.fps, drawings)
        if has_images:
            yield ClipShape(1, height, width)
