"""The captions of a work folder as a person reviews them, and what the person changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from brickfilm.captions.json_reply import one_line
from brickfilm.captions.reply_format import DESCRIBED, STATUSES, is_caption_reason
from brickfilm.dataset.data_files import DatasetNotFoundError
from brickfilm.dataset.reader import find_dataset
from brickfilm.engine.ledger import (
    CaptionEdit,
    caption_texts,
    ledger_frame,
    read_edits,
    save_edits,
)
from brickfilm.errors import UsageError
from brickfilm.records import EDITED_BY_HAND, MAX_CAPTION

DATASET_COLUMNS = ("id", "caption", "caption_status", "caption_model", "source_id")


@dataclass(frozen=True, kw_only=True)
class ReviewedCaption:
    """The caption of one clip or image, and a person's decision about it."""

    id: str
    caption: str
    status: str = DESCRIBED
    """'described', or the reason for which the item has no caption in the dataset."""
    reject: bool = False
    """True leaves the item out of the dataset."""
    note: str = ""
    model: str = ""
    source_id: str = ""
    """The video, as its source names it."""

    @property
    def decision(self) -> tuple[str, str, bool, str]:
        """Return what a person can change."""
        return self.caption, self.status, self.reject, self.note


def list_captions(work: str | Path) -> list[ReviewedCaption]:
    """Return every clip and image of the last build that came to a caption, by id.

    They are those in the dataset and those that were rejected for their caption, with the edits
    that were made since. Raise UsageError if the folder holds no build.
    """
    edits = read_edits(work)
    return [with_edit(row, edits.get(row.id)) for row in captions_of_build(work)]


def captions_of_build(work: str | Path) -> list[ReviewedCaption]:
    """Return what `list_captions` does as the last build left it, without later edits."""
    rows = {row.id: row for row in (*_rejected(work), *_in_dataset(Path(work)))}
    return [rows[id] for id in sorted(rows)]


def save_reviews(work: str | Path, reviews: Iterable[ReviewedCaption]) -> list[CaptionEdit]:
    """Store the reviews that differ from `list_captions`, as edits; return those.

    The next build of the folder takes them over without a request. Raise UsageError for an id that
    the folder does not have, or a decision that contradicts itself; then nothing is stored.
    """
    current = {row.id: row for row in list_captions(work)}
    edits = [edit for review in reviews if (edit := edit_of(review, current.get(review.id)))]
    save_edits(work, edits)
    return edits


def edit_of(review: ReviewedCaption, current: ReviewedCaption | None) -> CaptionEdit | None:
    """Return the edit that a review makes; None if it changes nothing.

    A new caption makes the status 'described', unless the status was changed too.
    """
    if current is None:
        raise UsageError(f"id={review.id!r} is not in this folder: export its captions again")
    if one_line(review.caption) == one_line(current.caption):
        review = replace(review, caption=current.caption)  # files have captions on one line
    if review.decision == current.decision:
        return None
    if review.caption != current.caption and review.status == current.status and review.caption:
        review = replace(review, status=DESCRIBED)
    _check(review, current)
    same = (review.caption, review.status) == (current.caption, current.status)
    kept = same and current.model != EDITED_BY_HAND
    text = review.caption if review.status == DESCRIBED else ""
    return CaptionEdit(
        item=review.id,
        caption=None if kept else text,
        status=review.status,
        reject=review.reject,
        note=review.note,
    )


def _check(review: ReviewedCaption, current: ReviewedCaption) -> None:
    if review.status not in STATUSES and review.status != current.status:
        raise UsageError(
            f"id={review.id!r}: status={review.status!r} is none of {', '.join(STATUSES)}"
        )
    if len(review.caption) > MAX_CAPTION:
        raise UsageError(
            f"id={review.id!r}: a caption of {len(review.caption):,} characters: {MAX_CAPTION:,} "
            "are read, shorten it"
        )
    if review.status == DESCRIBED and not review.caption and not review.reject:
        raise UsageError(
            f"id={review.id!r}: caption is empty, but status is 'described': write a caption, or "
            "set reject"
        )


def _in_dataset(work: Path) -> Iterator[ReviewedCaption]:
    try:
        saved = find_dataset(work)
    except DatasetNotFoundError:
        return
    for config in saved.configs:
        for row in saved.to_pandas(config, DATASET_COLUMNS).to_dict("records"):
            yield ReviewedCaption(
                id=row["id"],
                caption=row["caption"] or "",
                status=row["caption_status"],
                model=row["caption_model"] or "",
                source_id=row["source_id"] or "",
            )


def _rejected(work: str | Path) -> Iterator[ReviewedCaption]:
    """Yield what was left out for its caption, with the last text that was written for it."""
    results = ledger_frame(work)
    left_out = results[(results.outcome == "rejected") & results.kind.isin(["clip", "image"])]
    texts: dict[str, str] = caption_texts(work)
    for row in left_out.to_dict("records"):
        if is_caption_reason(row["reason"]):
            yield _rejected_caption(row, texts.get(row["item"], ""))


def _rejected_caption(row: dict[Any, Any], text: str) -> ReviewedCaption:
    return ReviewedCaption(
        id=row["item"], caption=text, status=row["reason"], source_id=row["source_id"]
    )


def with_edit(row: ReviewedCaption, edit: CaptionEdit | None) -> ReviewedCaption:
    """Return a caption as an edit leaves it; unchanged without one."""
    if edit is None:
        return row
    row = replace(row, reject=edit.reject, note=edit.note)
    if edit.caption is None:
        return row
    return replace(row, caption=edit.caption, status=edit.status, model=EDITED_BY_HAND)
