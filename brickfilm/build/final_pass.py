"""The final pass of a build: what needs all rows, then the dataset and the report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
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
    group_near_duplicates,
)
from brickfilm.dataset.row_sorter import RowSorter
from brickfilm.dataset.row_table import RowTable
from brickfilm.dataset.rows import clip_row, image_row
from brickfilm.dataset.splits import assign_splits
from brickfilm.dataset.write import DamagedMediaError
from brickfilm.embeddings.vectors import read_vector
from brickfilm.engine.free_memory import rare_collections
from brickfilm.engine.ledger import ItemResult, Ledger
from brickfilm.engine.run import PipelineRun
from brickfilm.engine.spilled_list import SpilledList
from brickfilm.errors import Failed, UsageError
from brickfilm.files import disk_errors
from brickfilm.records import Clip, Image, Video
from brickfilm.report import NEAR_DUPLICATES, ReportContext, write_report

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


@rare_collections()
def finalize(run: PipelineRun, ledger: Ledger, settings: FinalPass) -> BrickfilmDataset:
    """Run the final pass over all rows, write dataset and report, and keep the splits.

    Splits are assigned before near-duplicates are dropped: a video's split does not depend on it.
    """
    found = _collect(run)
    groups = group_near_duplicates(found.clips, _embeddings(found.embedded, ledger.work))
    clips, images = found.clips.with_columns(near_duplicate_group=groups), found.images
    places = chain(clips.select("id", "near_duplicate_group"), images.select("id"))
    split = assign_splits(places, ledger.video_facts(), settings.test_fraction)
    if dropped := dropped_duplicates(clips, settings.duplicates):
        unique = {clip.id: clip for clip in _clips(run) if clip.id in dropped}
        run.item_results.extend(_rejected(run, c, dropped[c.id]) for c in unique.values())
        run.save_results()
    clips, images = without_clips(clips, dropped), without_clips(images, dropped)
    clips = clips.with_columns(score_caption_repeats=count_repeated_captions(clips))
    context = ReportContext(
        work=ledger.work,
        finished=run.finished,
        stills=found.stills,
        excluded=run.excluded,
        cut_videos=found.videos,
        clips=clips,
        images=images,
        item_results=run.item_results,
        split=split,
        training=training_lengths_of([queue.stage for queue in run.queues]),
    )
    dataset = BrickfilmDataset(
        configs_from_rows(clips, images, split.split_by_video, ledger.work),
        ledger.work,
        incomplete=context.incomplete,
        moved_videos=split.moved_videos,
    )
    with disk_errors(ledger.work):
        dataset.save(ledger.work / "dataset")
    write_report(context)
    ledger.save_video_facts(split.history)
    return dataset


@dataclass(frozen=True)
class _Collected:
    """Rows of all finished clips and images, with what else is read from the records."""

    clips: RowTable
    images: RowTable
    stills: Sequence[tuple[str, list[str]]]
    """Id and paths of the stills of each finished clip."""
    embedded: set[tuple[str, Path, str]]
    """Model, file and id of each clip with a vector."""
    videos: dict[str, Video]
    """Videos that have a clip, finished or not, by id."""


def _collect(run: PipelineRun) -> _Collected:
    """Read the records once: each takes longer than its row."""
    clips, images = RowSorter(run.ledger.home), RowSorter(run.ledger.home)
    embedded: set[tuple[str, Path, str]] = set()
    videos = {c.video.id: c.video for c in run.excluded if isinstance(c, Clip)}
    stills: SpilledList[tuple[str, list[str]]] = SpilledList(run.ledger.home)
    for record in run.finished:
        if isinstance(record, Clip):
            stills.append((record.id, [still.path.as_posix() for still in record.stills]))
            videos[record.video.id] = record.video
            clips.add(clip_row(record))
            if record.embedding:
                embedded.add((record.embedding.model, record.embedding.path, record.id))
        elif isinstance(record, Image):
            images.add(image_row(record))
    return _Collected(clips.table("clips"), images.table("images"), stills, embedded, videos)


def _clips(run: PipelineRun) -> Iterator[Clip]:
    return (item for item in run.finished if isinstance(item, Clip))


def _rejected(run: PipelineRun, clip: Clip, kept: str) -> ItemResult:
    return ItemResult(
        position=len(run.queues),
        stage=NEAR_DUPLICATES,
        kind="clip",
        item=clip.id,
        source_id=clip.video.source_id,
        status="rejected",
        reason=NEAR_DUPLICATE,
        message=f"near-duplicate of {kept}, which stays",
        seconds=clip.end - clip.start,
    )


def _embeddings(embedded: Iterable[tuple[str, Path, str]], work: Path) -> Embeddings:
    """Return ids and vectors of clips, apart for each model.

    Raise DamagedMediaError for files that cannot be read; they are deleted by now.
    """
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
