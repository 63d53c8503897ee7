"""Run one stage without a pipeline."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from brickfilm.engine.calls import AnyStage, apply_answers, open_stage, work_item_of
from brickfilm.engine.pipeline import fuse_sinks
from brickfilm.errors import ItemError, Rejected
from brickfilm.records import Clip, Image, Listing, Video
from brickfilm.sources.folder import Probe


def ask(stage: AnyStage, items: Iterable[Any], work: Path) -> list[Any]:
    """Return the records and rejections of a stage for these items; raise an item's error."""
    (stage,) = fuse_sinks([stage])
    work_items = [work_item_of(stage, item) for item in items]
    with open_stage(stage, work) as compute:
        results = compute(work_items)
    records: list[Any] = []
    for work_item, answers in zip(work_items, results, strict=True):
        if isinstance(answers, ItemError):
            raise answers
        records += apply_answers(stage, work_item.item, answers)
    return records


def video_of(path: Path) -> Video:
    """Probe a video file."""
    listing = Listing(source_id=path.name, path=path, title=path.stem)
    (video,) = ask(Probe(), [listing], path.parent)
    return video


def clips_of(splitter: AnyStage, video: Video, work: Path) -> list[Clip]:
    return [out for out in ask(splitter, [video], work) if isinstance(out, Clip)]


def rejected_of(splitter: AnyStage, video: Video, work: Path) -> list[Rejected]:
    return [out for out in ask(splitter, [video], work) if isinstance(out, Rejected)]


def written(sink: AnyStage, clips: Iterable[Clip], work: Path) -> tuple[list[Clip], list[Image]]:
    """Return the clips and images of a sink, or of several fused."""
    records = ask(sink, clips, work)
    return (
        [record for record in records if isinstance(record, Clip)],
        [record for record in records if isinstance(record, Image)],
    )
