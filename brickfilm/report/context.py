"""What the sections of a report are made from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from brickfilm.dataset.finalize import DatasetRow, SplitAssignment, video_id_of
from brickfilm.engine.ledger import ItemResult
from brickfilm.records import Clip


@dataclass(frozen=True, kw_only=True)
class ReportContext:
    """One build, as its end saw it."""

    work: Path
    finished: Sequence[Any]
    """The records that came through every stage."""
    excluded_clips: Mapping[str, Clip]
    """The clips that did not, by id."""
    clips: Sequence[DatasetRow]
    images: Sequence[DatasetRow]
    """The rows of the dataset."""
    item_results: Sequence[ItemResult]
    split: SplitAssignment

    @cached_property
    def counts(self) -> Counter[str]:
        """Items by outcome; those done count once for every stage that they passed."""
        return Counter(outcome.status for outcome in self.item_results)

    @property
    def incomplete(self) -> bool:
        """Whether the next run may add rows."""
        return bool(self.counts["failed"] or self.counts["waiting"])

    @cached_property
    def clip_records(self) -> Mapping[str, Clip]:
        """Every clip by its id, as far as it came."""
        through = {item.id: item for item in self.finished if isinstance(item, Clip)}
        return {**self.excluded_clips, **through}

    @cached_property
    def left_out_results(self) -> Mapping[str, ItemResult]:
        """Of every clip that is no row of the dataset: the outcome that ended its way."""
        kept = {row["id"] for row in self.clips}
        ends = [o for o in self.item_results if o.kind == "clip" and o.status != "done"]
        return {end.item: end for end in reversed(ends) if end.item not in kept}

    @cached_property
    def video_seconds(self) -> Mapping[str, float]:
        """Seconds of every film that could be opened, by its id; two names count once."""
        return {o.item: o.seconds for o in self.item_results if o.kind == "video"}

    @cached_property
    def titles(self) -> Mapping[str, str]:
        """What people call a film, by its id."""
        rows = (*self.clips, *self.images)
        return {video_id_of(row["id"]): row["source_title"] or row["source_id"] for row in rows}

    def split_of(self, row_id: str) -> str:
        """The split in which a clip or an image lies."""
        return self.split.split_by_video.get(video_id_of(row_id), "")
