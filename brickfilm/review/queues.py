"""Items to review, and the orders in which to look at them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from brickfilm.dataset.data_files import DatasetNotFoundError
from brickfilm.dataset.reader import find_dataset
from brickfilm.digest import seal
from brickfilm.engine.ledger import (
    Review,
    StoredRecord,
    read_edits,
    read_records,
    read_reviews,
    read_trims,
)
from brickfilm.review.captions import ReviewedCaption, captions_of_build, with_edit

CLIP_COLUMNS = ("id", "prompt_digest")


@dataclass(frozen=True, kw_only=True)
class ReviewItem:
    """A clip or an image with everything that a reviewer sees of it."""

    caption: ReviewedCaption
    record: StoredRecord
    prompt_digest: str = ""
    doubt: float = 0.0
    """Doubt about its cuts, 0 to 1."""
    doubt_text: str = ""
    broken_rules: int = 0
    """Rules of the audit that its caption broke."""
    last: Mapping[str, Any] | None = None
    """The last verdict about it."""
    trim: tuple[int, int] | None = None
    """Frames [start, end) of the clip that a person kept, from the next build on."""

    @property
    def random_order(self) -> str:
        """Return the item's place in the random sample: the same for everybody, in every build."""
        return seal(f"review:{self.caption.id}")

    def to_json(self) -> dict[str, Any]:
        record = asdict(self.record)
        own = {name: record[name] for name in ("kind", "title", "start", "end", "num_frames")}
        return {
            **asdict(self.caption),
            **own,
            "fps": self.record.fps,
            "scores": {name: float(f"{v:.4g}") for name, v in sorted(self.record.scores.items())},
            "has_file": bool(self.record.path),
            "stills": len(self.record.stills),
            "doubt": self.doubt,
            "doubt_text": self.doubt_text,
            "broken_rules": self.broken_rules,
            "random_order": self.random_order,
            "last": self.last,
            "trim": self.trim,
        }


def items_of_build(work: Path) -> dict[str, ReviewItem]:
    """Return everything that can be reviewed in a work folder by id, without later decisions.

    Raise UsageError if it has no build, or one of an older version.
    """
    records, rows = read_records(work), _clip_rows(work)
    items = {}
    for caption in captions_of_build(work):
        if (record := records.get(caption.id)) is None:
            continue
        doubt, doubt_text = cut_doubt(record.scores)
        items[caption.id] = ReviewItem(
            caption=replace(caption, source_id=record.source_id),
            record=record,
            prompt_digest=str(rows.get(caption.id, {}).get("prompt_digest") or ""),
            doubt=doubt,
            doubt_text=doubt_text,
            broken_rules=_broken_rules(record),
        )
    return items


def with_decisions(work: Path, items: Mapping[str, ReviewItem]) -> dict[str, ReviewItem]:
    """Return the items with all edits, trims and last verdicts of people."""
    edits, trims = read_edits(work), read_trims(work)
    last = {review.item: review for review in read_reviews(work)}
    return {
        id: replace(
            item,
            caption=with_edit(item.caption, edits.get(id)),
            last=_verdict(last[id]) if id in last else None,
            trim=(trims[id].start_frame, trims[id].end_frame) if id in trims else None,
        )
        for id, item in items.items()
    }


def _verdict(review: Review) -> dict[str, Any]:
    names = ("number", "reviewer", "caption_wrong", "cut_wrong", "queue")
    return {name: getattr(review, name) for name in names}


def _broken_rules(record: StoredRecord) -> int:
    return sum(bool(v) for name, v in record.scores.items() if name.startswith("broke_"))


def _clip_rows(work: Path) -> dict[str, dict[Any, Any]]:
    try:
        saved = find_dataset(work)
    except DatasetNotFoundError:
        return {}
    if "clips" not in saved.configs:
        return {}
    return {row["id"]: row for row in saved.to_pandas("clips", CLIP_COLUMNS).to_dict("records")}


def cut_doubt(scores: Mapping[str, float]) -> tuple[float, str]:
    """Return the doubt about a clip's cuts, 0 to 1, and the reason in words.

    Its cuts may be too many by `cut_start` and `cut_end`, and too few by `cut_inside`, which are
    probabilities of the shot detector. (0, '') if it states none.
    """
    doubts = [
        (1 - scores.get("cut_start", 1.0), "its first cut may be none"),
        (1 - scores.get("cut_end", 1.0), "its last cut may be none"),
        (scores.get("cut_inside", 0.0), "it may have a cut inside"),
    ]
    doubt, text = max(doubts)
    return (doubt, f"{text} ({doubt:.0%})") if doubt > 0 else (0.0, "")
