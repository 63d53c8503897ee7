"""Captions that people corrected: answers of a higher rank than a model's, by clip or image id.

An edit belongs to the place in the video, not to a prompt or a model, so it outlives both.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from brickfilm.engine.ledger.file import FILENAME, connect, lock_work_folder, transaction
from brickfilm.engine.ledger.frames import read_newer_table
from brickfilm.errors import Rejected, UsageError
from brickfilm.records import EDITED_BY_HAND, Caption, Clip, Image

_COLUMNS = "item, caption, status, reject, note, at"


@dataclass(frozen=True, kw_only=True)
class CaptionEdit:
    """Record a person's decision about one clip or image."""

    item: str
    """Id of the clip or image."""
    caption: str | None = None
    """None leaves the captioner's own caption."""
    status: str = "described"
    """Of `caption`; without one it does not count."""
    reject: bool = False
    """True leaves the item out of the dataset."""
    note: str = ""
    at: float = field(default_factory=time.time)
    """Time of the edit, seconds since 1970."""

    @property
    def decides(self) -> bool:
        """Return True if nothing is left to ask: there is a caption, or the item goes."""
        return self.reject or self.caption is not None

    def applied_to(self, item: Clip | Image) -> Clip | Image | Rejected:
        """Return the item with the edit's caption, or its rejection."""
        if self.reject:
            note = f": {self.note}" if self.note else ""
            return Rejected(f"{item.id} was rejected by hand{note}", reason="rejected by hand")
        if self.caption is None:
            return item
        caption = Caption(text=self.caption, status=self.status, model=EDITED_BY_HAND)
        return replace(item, caption=caption)


def edit_at(
    edits: Mapping[str, CaptionEdit], item: object, provides: Sequence[str] | None
) -> CaptionEdit | None:
    """Return the edit that replaces a captioner's answer, or what the last stage left.

    provides: what the next stage adds to the item; None behind the last stage.
    """
    edit = edits.get(item.id) if isinstance(item, Clip | Image) else None
    if edit is None or not edit.decides:
        return None
    if provides is None:
        is_edited = isinstance(item, Clip | Image) and item.caption and item.caption.is_edited
        return None if is_edited else edit
    return edit if "caption" in provides else None


def read_edits(work: str | Path) -> dict[str, CaptionEdit]:
    """Return the edits of a work folder by item id; empty without a ledger."""
    rows = read_newer_table(work, f"SELECT {_COLUMNS} FROM edits")
    return {edit.item: edit for edit in map(_edit, rows)}


def edits_by_item(db: sqlite3.Connection) -> dict[str, CaptionEdit]:
    """Return the edits of an open ledger by item id."""
    rows = db.execute(f"SELECT {_COLUMNS} FROM edits").fetchall()
    return {edit.item: edit for edit in map(_edit, rows)}


def edit_row(edit: CaptionEdit) -> tuple[object, ...]:
    """Return an edit as a row of its table."""
    return edit.item, edit.caption, edit.status, edit.reject, edit.note, edit.at


def save_edits(work: str | Path, edits: Iterable[CaptionEdit]) -> None:
    """Store edits; each replaces an earlier one of the same item.

    Raise UsageError if the folder has no ledger, WorkdirBusy while a build runs in it.
    """
    rows = [edit_row(edit) for edit in edits]
    with writable_ledger(Path(work)) as db:
        db.executemany(f"INSERT OR REPLACE INTO edits ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", rows)


def delete_edits(work: str | Path, items: Iterable[str]) -> int:
    """Delete the edits of these items, whose captioner speaks again; return their number."""
    with writable_ledger(Path(work)) as db:
        return sum(db.execute("DELETE FROM edits WHERE item = ?", (i,)).rowcount for i in items)


def merge_edits(source: str | Path, target: str | Path) -> int:
    """Copy the edits of one work folder into another, the newer of two; return their number."""
    known = read_edits(target)
    edits = [
        e for e in read_edits(source).values() if e.item not in known or e.at > known[e.item].at
    ]
    save_edits(target, edits)
    return len(edits)


@contextmanager
def writable_ledger(work: Path) -> Iterator[sqlite3.Connection]:
    """Lock a work folder and open its ledger for one transaction.

    Raise UsageError if it has no ledger, WorkdirBusy while a build runs in it.
    """
    if not (work / FILENAME).is_file():
        raise UsageError(f"{str(work)!r} has no {FILENAME}: name the --out folder of a build")
    with (
        lock_work_folder(work),
        closing(connect(work / FILENAME)) as db,
        transaction(db, work),
    ):
        yield db


def _edit(row: tuple[str, str | None, str, int, str, float]) -> CaptionEdit:
    item, caption, status, reject, note, at = row
    return CaptionEdit(
        item=item, caption=caption, status=status, reject=bool(reject), note=note, at=at
    )
