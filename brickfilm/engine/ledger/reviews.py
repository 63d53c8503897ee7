"""Verdicts of people who reviewed clips and images, and trimmed clips; each can be undone."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from brickfilm.engine.ledger.edits import CaptionEdit, edit_row, edits_by_item, writable_ledger
from brickfilm.engine.ledger.frames import read_newer_table
from brickfilm.errors import UsageError
from brickfilm.files import parse_json

RANDOM_QUEUE = "random"
"""Queue of the random sample, from which rates of errors are estimated."""
REVIEW_COLUMNS = (
    *("item", "reviewer", "queue", "caption_wrong", "cut_wrong", "caption_model"),
    *("prompt_digest", "caption_digest", "before", "at"),
)
CLIP_ID = re.compile(r"(\w+)-(\d+)-(\d+)(-f\d+)?$")
"""Video, first frame and end of a clip, also in the id of its image."""
_TRIM_COLUMNS = ("item", "start_frame", "end_frame", "at")
_SELECT_TRIMS = f"SELECT {', '.join(_TRIM_COLUMNS)} FROM trims"
Stored = Mapping[str, Mapping[str, Any] | None]
"""Edits or trims by item, as JSON; None for an item without."""


@dataclass(frozen=True, kw_only=True)
class TrimmedClip:
    """A clip whose ends a person moved: the next build cuts [start_frame, end_frame) instead."""

    item: str
    """Id of the clip as the shot detector cuts it."""
    start_frame: int
    end_frame: int
    """Frame numbers in the video; end exclusive."""
    at: float = field(default_factory=time.time)

    @property
    def result(self) -> str:
        """Return the id of the trimmed clip."""
        return f"{self.item.rsplit('-', 2)[0]}-{self.start_frame:06d}-{self.end_frame:06d}"

    def covers(self, item: str) -> bool:
        """Return True for a clip that lies in the clip as it was first cut, and for its image."""
        inner, whole = (CLIP_ID.match(id) for id in (item, self.item))
        if not (inner and whole) or inner[1] != whole[1]:
            return False
        return int(whole[2]) <= int(inner[2]) and int(inner[3]) <= int(whole[3])


@dataclass(frozen=True, kw_only=True)
class Review:
    """One verdict, with what it replaced."""

    item: str
    reviewer: str
    queue: str
    caption_wrong: bool = False
    cut_wrong: bool = False
    caption_model: str = ""
    prompt_digest: str = ""
    caption_digest: str = ""
    """Model, prompt and digest of the text that was judged."""
    before: str = ""
    """JSON of the edits and trims that it replaced, to undo it."""
    at: float = field(default_factory=time.time)
    number: int = 0
    """Its number in the ledger, ascending."""


def read_reviews(work: str | Path) -> list[Review]:
    """Return all verdicts in a work folder, oldest first; none without a ledger."""
    names = ", ".join(("id", *REVIEW_COLUMNS))
    rows = read_newer_table(work, f"SELECT {names} FROM reviews ORDER BY id")
    reviews = (
        Review(number=number, **dict(zip(REVIEW_COLUMNS, row, strict=True)))
        for number, *row in rows
    )
    return [
        replace(r, caption_wrong=bool(r.caption_wrong), cut_wrong=bool(r.cut_wrong))
        for r in reviews
    ]


def read_trims(work: str | Path) -> dict[str, TrimmedClip]:
    """Return the trimmed clips of a work folder by their id before trimming."""
    rows = read_newer_table(work, _SELECT_TRIMS)
    trims = (TrimmedClip(**dict(zip(_TRIM_COLUMNS, row, strict=True))) for row in rows)
    return {trim.item: trim for trim in trims}


def save_review(
    work: str | Path,
    review: Review,
    edits: Sequence[CaptionEdit] = (),
    trim: TrimmedClip | None = None,
) -> None:
    """Store a verdict with its edits and its trim, together or not at all.

    Raise UsageError if the folder has no ledger, WorkdirBusy while a build runs in it.
    """
    with writable_ledger(Path(work)) as db:
        before = _state(db, [edit.item for edit in edits], trim)
        values = {**asdict(review), "before": json.dumps(before)}
        names, marks = ", ".join(REVIEW_COLUMNS), ", ".join(f":{n}" for n in REVIEW_COLUMNS)
        db.execute(f"INSERT INTO reviews ({names}) VALUES ({marks})", values)
        trims = {trim.item: asdict(trim)} if trim else {}
        _write_state(db, {edit.item: asdict(edit) for edit in edits}, trims)


def undo_review(work: str | Path, reviewer: str) -> Review | None:
    """Take the last verdict of a person back, with its edits and trim; None if there is none.

    A verdict that somebody else replaced since is taken back alone: their edits stay.
    """
    mine = [review for review in read_reviews(work) if review.reviewer == reviewer]
    if not mine:
        return None
    last = mine[-1]
    with writable_ledger(Path(work)) as db:
        query = "SELECT 1 FROM reviews WHERE item = ? AND id > ?"
        if db.execute(query, (last.item, last.number)).fetchone() is None:
            _write_state(db, *_parse_before(last))
        db.execute("DELETE FROM reviews WHERE id = ?", (last.number,))
    return last


def _parse_before(review: Review) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the edits and trims from before a verdict."""
    try:
        before = parse_json(review.before)
        return dict(before["edits"]), dict(before["trims"])
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"what {review.item} was before this verdict is damaged in the ledger: give another "
            "verdict in its place"
        ) from error


def _state(
    db: sqlite3.Connection, items: Sequence[str], trim: TrimmedClip | None
) -> dict[str, dict[str, Any]]:
    """Return the stored edits of some items and the stored trim of a clip; None for absent ones."""
    edits = edits_by_item(db)
    state: dict[str, dict[str, Any]] = {
        "edits": {item: asdict(edits[item]) if item in edits else None for item in items},
        "trims": {},
    }
    if trim:
        row = db.execute(f"{_SELECT_TRIMS} WHERE item = ?", (trim.item,)).fetchone()
        state["trims"][trim.item] = dict(zip(_TRIM_COLUMNS, row, strict=True)) if row else None
    return state


def _write_state(db: sqlite3.Connection, edits: Stored, trims: Stored) -> None:
    """Store edits and trims; None deletes one."""
    for item, edit in edits.items():
        db.execute("DELETE FROM edits WHERE item = ?", (item,))
        if edit:
            db.execute("INSERT INTO edits VALUES (?, ?, ?, ?, ?, ?)", edit_row(CaptionEdit(**edit)))
    for item, trim in trims.items():
        db.execute("DELETE FROM trims WHERE item = ?", (item,))
        if trim:
            db.execute("INSERT INTO trims VALUES (:item, :start_frame, :end_frame, :at)", trim)
