"""The data that report sections are made from."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

from brickfilm.dataset.row_table import RowTable
from brickfilm.dataset.rows import video_id_of
from brickfilm.dataset.splits import SplitAssignment
from brickfilm.engine.ledger import ItemResult, answers_frame, read_edits
from brickfilm.records import Clip, Image, Video
from brickfilm.schema.training_lengths import TrainingLengths

NEAR_DUPLICATES = "NearDuplicates"
"""Stage of the results of clips that the final pass drops."""
StageGroup = tuple[int, str, str, str, str]
"""Position and name of a stage, kind of record, status and reason."""


@dataclass(frozen=True, kw_only=True)
class ReportContext:
    """Records, rows and results of a build at its end."""

    work: Path
    finished: Sequence[Any]
    """Records that passed every stage."""
    stills: Iterable[tuple[str, Sequence[str]]]
    """Id and paths of the stills of each finished clip, which its row lacks."""
    excluded: Sequence[Clip | Image]
    """Clips and images that did not."""
    cut_videos: Mapping[str, Video]
    """Videos that have a clip, finished or not, by id."""
    clips: RowTable
    images: RowTable
    """Rows of the dataset."""
    item_results: Sequence[ItemResult]
    split: SplitAssignment
    training: TrainingLengths | None = None
    """Lengths that shots were split into, if the build was for a training."""

    @cached_property
    def stage_totals(self) -> Mapping[StageGroup, tuple[int, float]]:
        """Return the number of results, and their seconds of footage, of each kind."""
        counts: Counter[StageGroup] = Counter()
        seconds: defaultdict[StageGroup, float] = defaultdict(float)
        for r in self.item_results:
            group = r.position, r.stage, r.kind, r.status, r.reason
            counts[group] += 1
            seconds[group] += r.seconds
        return {group: (count, seconds[group]) for group, count in counts.items()}

    @cached_property
    def notable_results(self) -> Sequence[ItemResult]:
        """Return the results of videos, and of everything else that is not done."""
        return [r for r in self.item_results if r.kind == "video" or r.status != "done"]

    @cached_property
    def counts(self) -> Counter[str]:
        """Count items by status; an item that is done counts once for each stage it passed."""
        counts: Counter[str] = Counter()
        for (*_, status, _), (count, _) in self.stage_totals.items():
            counts[status] += count
        return counts

    @property
    def incomplete(self) -> bool:
        """Return whether items failed or wait, so that the next run may add rows."""
        return bool(self.counts["failed"] or self.counts["waiting"])

    def clip_records(self, ids: Container[str]) -> dict[str, Clip]:
        """Return clips that are not in the dataset as their last stage left them, by id.

        Finished ones are read only where near-duplicates were dropped: to read all takes long.
        """
        dropped = any(r.stage == NEAR_DUPLICATES for r in self.left_out_results.values())
        records = chain(self.excluded, self.finished if dropped else ())
        return {c.id: c for c in records if isinstance(c, Clip) and c.id in ids}

    @cached_property
    def left_out_results(self) -> Mapping[str, ItemResult]:
        """Return the final result of every clip that is not in the dataset, by its id."""
        results: dict[str, ItemResult] = {}
        for result in self.notable_results:
            if result.kind == "clip":
                results.setdefault(result.item, result)
        for id in self.clips.column("id") if results else ():
            results.pop(id, None)
        return results

    @cached_property
    def video_seconds(self) -> Mapping[str, float]:
        """Return the duration in seconds of every video that could be opened, by its id."""
        return {r.item: r.seconds for r in self.notable_results if r.kind == "video"}

    @cached_property
    def titles(self) -> Mapping[str, str]:
        """Return the title of every video that could be opened, by its id."""
        videos = {r.item: r.source_id for r in self.notable_results if r.kind == "video"}
        videos |= {id: video.title or video.source_id for id, video in self.cut_videos.items()}
        names = ("id", "source_id", "source_title")
        for row in chain(self.clips.select(*names), self.images.select(*names)):
            videos[video_id_of(row["id"])] = row["source_title"] or row["source_id"]
        return videos

    @cached_property
    def footage_seconds(self) -> float:
        """Return the seconds of all videos that could be opened."""
        return sum(self.video_seconds.values())

    @cached_property
    def changed_at(self) -> datetime | None:
        """Return when the newest answer or edit of a person was stored; None without any.

        The time of the build itself would make another page of the same results.
        """
        edits = [edit.at for edit in read_edits(self.work).values()]
        times = [*answers_frame(self.work)["newest"].dropna(), *edits]
        return datetime.fromtimestamp(max(times), UTC) if times else None

    def split_of(self, row_id: str) -> str:
        """Return the split of a clip or an image."""
        return self.split.split_by_video.get(video_id_of(row_id), "")
