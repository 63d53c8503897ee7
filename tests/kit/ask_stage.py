"""Run one stage by hand, as a pipeline would."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from brickfilm.engine.stage import Stage, WorkItem
from brickfilm.errors import ItemError, Rejected
from brickfilm.records import Clip, Image, Listing, Video
from brickfilm.sources.folder import Probe

AnyStage = Stage[Any, Any]


def ask(stage: AnyStage, items: Iterable[Any], work: Path) -> list[Any]:
    """What the stage makes of the items: records and Rejected; an item's error is raised."""
    work_items = [
        WorkItem(item, frozenset(part.digest for part in stage.parts())) for item in items
    ]
    with stage.open(work) as asked:
        landed = stage.run_batch(asked, work_items)
    outcomes: list[Any] = []
    for work_item, answers in zip(work_items, landed, strict=True):
        if isinstance(answers, ItemError):
            raise answers
        outcomes += stage.apply_parts(work_item.item, answers)
    return outcomes


def video_of(path: Path) -> Video:
    """A film, probed."""
    listing = Listing(source_id=path.name, path=path, title=path.stem)
    (video,) = ask(Probe(), [listing], path.parent)
    return video


def clips_of(splitter: AnyStage, video: Video, work: Path) -> list[Clip]:
    return [out for out in ask(splitter, [video], work) if isinstance(out, Clip)]


def rejected_of(splitter: AnyStage, video: Video, work: Path) -> list[Rejected]:
    return [out for out in ask(splitter, [video], work) if isinstance(out, Rejected)]


def written(sink: AnyStage, clips: Iterable[Clip], work: Path) -> tuple[list[Clip], list[Image]]:
    """Clips and images that come out of a sink, or of several fused."""
    outcomes = ask(sink, clips, work)
    return (
        [out for out in outcomes if isinstance(out, Clip)],
        [out for out in outcomes if isinstance(out, Image)],
    )
