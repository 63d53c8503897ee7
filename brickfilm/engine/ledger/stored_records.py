"""Place, files and scores of every clip and image of the last pass, those left out included."""

from __future__ import annotations

import json
import sqlite3
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from brickfilm.engine.ledger.frames import read_table
from brickfilm.engine.ledger.last_pass import digest_number
from brickfilm.engine.ledger.packed import pack, unpack
from brickfilm.errors import UsageError
from brickfilm.files import parse_json
from brickfilm.records import Clip, Image


@dataclass(frozen=True, kw_only=True)
class StoredRecord:
    """A clip or an image as its last stage left it."""

    item: str
    """Its id."""
    kind: str
    """'clip' or 'image'."""
    source_id: str
    title: str
    start: float
    end: float
    """Seconds in the video's own time; of an image, both are its time."""
    num_frames: int
    fps: float
    width: int
    height: int
    path: str = ""
    """Of the clip's or image's file, relative to the work folder; '' if none was written."""
    stills: tuple[str, ...] = ()
    scores: dict[str, float]

    @classmethod
    def of(cls, item: Clip | Image) -> Self:
        """Return what is stored of a record; a clip that was not written has its video's size."""
        clip = item.clip if isinstance(item, Image) else item
        time = item.time if isinstance(item, Image) else None
        return cls(
            item=item.id,
            kind=type(item).__name__.lower(),
            source_id=item.video.source_id,
            title=item.video.title,
            start=clip.start if time is None else time,
            end=clip.end if time is None else time,
            num_frames=1 if isinstance(item, Image) else clip.span.frames,
            fps=float(clip.fps) if clip.end > clip.start else 0.0,
            width=item.width or item.video.width,
            height=item.height or item.video.height,
            path=item.path.as_posix() if item.path else "",
            stills=tuple(still.path.as_posix() for still in clip.stills),
            scores={} if isinstance(item, Image) else dict(clip.scores),
        )

    @property
    def duration(self) -> float:
        return self.end - self.start

    @property
    def aspect_ratio(self) -> float:
        return self.height / self.width


def record_digest(item: object) -> int:
    """Return a digest of all that `StoredRecord.of` reads of a clip or an image; 0 of others.

    It takes a tenth of the time of making that record and its JSON.
    """
    if not isinstance(item, Clip | Image):
        return 0
    clip = item.clip if isinstance(item, Image) else item
    frame, scores = (item.frame, {}) if isinstance(item, Image) else (-1, clip.scores)
    video, base = clip.video, clip.video.time_base
    sizes = (item.width or video.width, item.height or video.height)
    place = (clip.span.start_pts, clip.span.end_pts, base.numerator, base.denominator)
    texts = (item.id, video.source_id, video.title, str(item.path), *scores)
    stills = (str(still.path) for still in clip.stills)
    text = "\0".join((*texts, "", *stills, "", repr((frame, *sizes, *place))))
    return digest_number(
        text.encode(errors="backslashreplace"), array("d", scores.values()).tobytes()
    )


def write_records(db: sqlite3.Connection, items: Iterable[Clip | Image]) -> None:
    """Write the records of the last pass to an empty table, inside a transaction."""
    records = map(StoredRecord.of, items)
    facts = ((r.item, r.source_id, pack(_facts(r))) for r in records)
    db.executemany("INSERT OR REPLACE INTO records VALUES (?, ?, ?)", facts)


def _facts(record: StoredRecord) -> str:
    """Return a record as JSON without what has a column of its own."""
    facts = {name: v for name, v in vars(record).items() if name not in ("item", "source_id")}
    return json.dumps(facts)


def read_records(work: str | Path) -> dict[str, StoredRecord]:
    """Return the clips and images of the last build by id.

    Raise UsageError if the folder has no ledger, or was last built by a version without records.
    """
    try:
        rows = read_table(work, "SELECT * FROM records ORDER BY item, rowid")
    except UsageError as error:
        if "no such table" not in str(error):
            raise
        raise UsageError(
            f"{str(work)!r} was built by an older version, which kept no scores of clips that were "
            "left out: run the same build again, which asks for nothing that is stored"
        ) from error
    records = (_parse_record(work, *row) for row in rows.itertuples(index=False))
    return {record.item: record for record in records}


def _parse_record(work: str | Path, item: str, source_id: str, stored: str | bytes) -> StoredRecord:
    text = unpack(stored) or ""
    try:
        facts = {"item": item, "source_id": source_id, **parse_json(text)}
        numbers = {name: float(facts[name]) for name in ("start", "end", "fps")}
        counts = {name: int(facts[name]) for name in ("num_frames", "width", "height")}
        scores = {name: float(score) for name, score in facts["scores"].items()}
        lists = {"stills": tuple(map(str, facts["stills"])), "scores": scores}
        return StoredRecord(**{**facts, **numbers, **counts, **lists})
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise UsageError(
            f"the ledger of {str(work)!r} has a damaged record, {text[:80]!r}: run the same build "
            "again, which writes the records anew"
        ) from error
