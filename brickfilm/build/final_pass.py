"""The final pass of a build: what needs all rows, then the dataset and the report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain, groupby
from pathlib import Path

import numpy as np

from brickfilm.build.built_dataset import BrickfilmDataset
from brickfilm.build.recipe import training_lengths_of
from brickfilm.dataset import configs_from_rows
from brickfilm.dataset.duplicates import (
    MODES,
    DuplicatesMode,
    dropped_duplicates,
    without_clips,
)
from brickfilm.dataset.finalize import (
    Embeddings,
    count_repeated_captions,
    dedupe_by_id,
    group_near_duplicates,
    with_columns,
)
from brickfilm.dataset.rows import DatasetRow, clip_row, image_row
from brickfilm.dataset.splits import assign_splits
from brickfilm.dataset.write import DamagedMediaError
from brickfilm.embeddings.vectors import read_vector
from brickfilm.engine.ledger import ItemResult, Ledger
from brickfilm.engine.run import PipelineRun
from brickfilm.engine.spilled_list import SpilledList
from brickfilm.errors import Failed, UsageError
from brickfilm.files import disk_errors
from brickfilm.records import Clip, Image
from brickfilm.report import ReportContext, write_report

NEAR_DUPLICATE = "near-duplicate"
"""Reason of clips that `duplicates` drops."""


@dataclass(frozen=True)
class FinalPass:
    """Settings of the final pass."""

    test_fraction: float = 0.05
    duplicates: DuplicatesMode = "mark"

    def __post_init__(self) -> None:
        if not 0 <= self.test_fraction < 1:
            raise UsageError(
                f"test_fraction={self.test_fraction} must be in [0, 1): it is a fraction of the "
                "videos"
            )
        if self.duplicates not in MODES:
            raise UsageError(f"duplicates={self.duplicates!r}: give one of {', '.join(MODES)}")


def finalize(run: PipelineRun, ledger: Ledger, settings: FinalPass) -> BrickfilmDataset:
    """Run the final pass over all rows, write dataset and report, and keep the splits.

    Splits are assigned before near-duplicates are dropped: a video's split does not depend on it.
    """
    spilled = partial(SpilledList[DatasetRow], ledger.home)
    clips = spilled(dedupe_by_id((clip_row(c) for c in _clips(run)), ledger.home))
    image_rows = (image_row(i) for i in run.finished if isinstance(i, Image))
    images = spilled(dedupe_by_id(image_rows, ledger.home))
    groups = group_near_duplicates(clips, _embeddings(_clips(run), ledger.work))
    clips = spilled(with_columns(clips, near_duplicate_group=groups))
    split = assign_splits(chain(clips, images), ledger.video_facts(), settings.test_fraction)
    if dropped := dropped_duplicates(clips, settings.duplicates):
        unique = {clip.id: clip for clip in _clips(run) if clip.id in dropped}
        run.item_results.extend(_rejected(run, c, dropped[c.id]) for c in unique.values())
        run.save_results()
    clips = spilled(without_clips(clips, dropped))
    images = spilled(without_clips(images, dropped))
    repeats = count_repeated_captions(clips)
    clips = spilled(with_columns(clips, score_caption_repeats=repeats))
    incomplete = any(r.status in ("failed", "waiting") for r in run.item_results)
    dataset = BrickfilmDataset(
        configs_from_rows(clips, images, split.split_by_video, ledger.work),
        ledger.work,
        incomplete=incomplete,
        moved_videos=split.moved_videos,
    )
    with disk_errors(ledger.work):
        dataset.save(ledger.work / "dataset")
    write_report(
        ReportContext(
            work=ledger.work,
            finished=run.finished,
            excluded=run.excluded,
            clips=clips,
            images=images,
            item_results=run.item_results,
            split=split,
            training=training_lengths_of([queue.stage for queue in run.queues]),
        )
    )
    ledger.save_video_facts(split.history)
    return dataset


def _clips(run: PipelineRun) -> Iterator[Clip]:
    return (item for item in run.finished if isinstance(item, Clip))


def _rejected(run: PipelineRun, clip: Clip, kept: str) -> ItemResult:
    return ItemResult(
        position=len(run.queues),
        stage="NearDuplicates",
        kind="clip",
        item=clip.id,
        source_id=clip.video.source_id,
        status="rejected",
        reason=NEAR_DUPLICATE,
        message=f"near-duplicate of {kept}, which stays",
        seconds=clip.end - clip.start,
    )


def _embeddings(clips: Iterable[Clip], work: Path) -> Embeddings:
    """Return ids and vectors of the clips that have any, apart for each model.

    Raise DamagedMediaError for files that cannot be read; they are deleted by now.
    """
    embedded = {(c.embedding.model, c.embedding.path, c.id) for c in clips if c.embedding}
    found: Embeddings = []
    damaged: list[Path] = []
    for _, group in groupby(sorted(embedded), key=lambda entry: entry[0]):
        ids, vectors = [], []
        for _, path, id in group:
            try:
                vectors.append(read_vector(work / path))
                ids.append(id)
            except Failed:
                damaged.append(work / path)
        found.append((ids, np.stack(vectors) if vectors else np.empty((0, 1), np.float32)))
    if damaged:
        raise DamagedMediaError(damaged)
    return found
