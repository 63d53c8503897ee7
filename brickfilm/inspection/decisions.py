"""Tell what every stage decided about a clip, an image or a moment of a video, and at what cost."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brickfilm.dataset.rows import video_id_of
from brickfilm.engine.ledger import (
    CaptionEdit,
    StoredRecord,
    item_answers,
    ledger_frame,
    read_edits,
    read_records,
)
from brickfilm.errors import UsageError
from brickfilm.files import parse_json

if TYPE_CHECKING:
    import pandas as pd

TIME = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d+)?)")
MAX_TEXT = 160
"""Characters of a text in an answer that are shown."""


@dataclass(frozen=True, kw_only=True)
class StageDecision:
    """The result of one item at one stage in the last run."""

    stage: str
    kind: str
    item: str
    status: str
    reason: str
    message: str


@dataclass(frozen=True, kw_only=True)
class StoredAnswer:
    """One stored answer about an item."""

    part: str
    """The stage or detector or measure that gave it, by stored name."""
    settings: str
    item: str
    at: datetime
    seconds: float
    """Of work."""
    dollars: float | None
    """US dollars, settled or still reserved; None if it was free."""
    numbers: Mapping[str, Any]
    """Its numbers and short texts."""


@dataclass(frozen=True, kw_only=True)
class ItemHistory:
    """Everything that is known about an item."""

    item: str
    source_id: str
    record: StoredRecord | None
    decisions: Sequence[StageDecision]
    answers: Sequence[StoredAnswer]
    edits: Sequence[CaptionEdit]

    @property
    def outcome(self) -> str:
        """Return in words what became of the item itself in the last run."""
        own = [d for d in self.decisions if d.item == self.item]
        for decision in reversed(own):
            if decision.status != "done":
                return (
                    f"{decision.status} by {decision.stage}: {decision.message or decision.reason}"
                )
        return "done: it passed every stage of the last run" if own else "not in the last run"


def why(work: str | Path, target: str) -> list[ItemHistory]:
    """Return the history of a clip, image or video by id, or of what lies at VIDEO@TIME.

    VIDEO is a source id or a video's id; TIME is in seconds, or as 1:23.5. Raise UsageError if the
    last build has nothing of this name or at this time.
    """
    results = ledger_frame(work)
    known = {*results["item"], *results.source_id}
    if target in known or "@" not in target:
        items = _items_named(target, results)
    else:
        items = _items_at(work, target, results)
    return [_history(work, item, results) for item in items]


def _items_named(target: str, results: pd.DataFrame) -> list[str]:
    if target in set(results["item"]):
        return [target]
    videos = results[(results.source_id == target) & results.kind.isin(["video", "listing"])]
    if len(videos):
        return [str(videos.iloc[-1]["item"])]
    raise UsageError(f"the last build has no item {target!r}{_suggestion(target, results)}")


def _suggestion(target: str, results: pd.DataFrame) -> str:
    names = sorted({*results["item"], *results.source_id})
    close = difflib.get_close_matches(target, names, n=3, cutoff=0.5)
    found = close or [name for name in names if target and target in name][:3]
    hint = f": did you mean {', '.join(map(repr, found))}?" if found else ""
    return hint or ": give the id of a clip, image or video, or VIDEO@TIME as film.mp4@12.5"


def _items_at(work: str | Path, target: str, results: pd.DataFrame) -> list[str]:
    name, _, time = target.rpartition("@")
    match = TIME.fullmatch(time)
    if not match:
        raise UsageError(f"{target!r}: write the time in seconds, or as 1:23.5 or 1:02:03")
    hours, minutes, seconds = match.groups()
    at = int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(seconds)
    videos = {_items_named(name, results)[0]}
    records = [
        r
        for r in read_records(work).values()
        if r.kind == "clip" and (r.source_id == name or video_id_of(r.item) in videos)
    ]
    if found := [r.item for r in records if r.start <= at < r.end]:
        return found
    spans = sorted((r.start, r.end) for r in records)
    near = ", ".join(f"{start:.2f}-{end:.2f} s" for start, end in spans[:8])
    raise UsageError(
        f"no clip and no rejected shot of {name!r} is at {at:g} s; "
        f"it has {near + (' ...' if len(spans) > 8 else '') or 'none'}"
    )


def _history(work: str | Path, item: str, results: pd.DataFrame) -> ItemHistory:
    """Collect the decisions about an item, its video, and a clip's images."""
    video = video_id_of(item)
    is_part = results["item"].str.startswith(f"{item}-") & (results.kind == "image")
    own = results[(results["item"] == item) | is_part]
    source = str(own.source_id.iloc[0])
    of_video = results[
        results.kind.isin(["video", "listing"])
        & ((results["item"] == video) | (results.source_id == source))
    ]
    is_video = own.kind.isin(["video", "listing"]).any()
    chosen = of_video if is_video else results.loc[[*of_video.index, *own.index]]
    names = list(dict.fromkeys(chosen["item"]))
    edits = read_edits(work)
    return ItemHistory(
        item=item,
        source_id=source,
        record=_records(work).get(item),
        decisions=[_decision(row) for row in chosen.to_dict("records")],
        answers=[_answer(row) for row in item_answers(work, names).to_dict("records")],
        edits=[edits[name] for name in names if name in edits],
    )


def _records(work: str | Path) -> dict[str, StoredRecord]:
    try:
        return read_records(work)
    except UsageError:  # a ledger of an older version
        return {}


def _decision(row: Mapping[Any, Any]) -> StageDecision:
    return StageDecision(
        stage=row["stage"],
        kind=row["kind"],
        item=row["item"],
        status=row["outcome"],
        reason=row["reason"],
        message=row["message"],
    )


def _answer(row: Mapping[Any, Any]) -> StoredAnswer:
    dollars = row["dollars"]  # NULL, as NaN where another answer was paid for
    dollars = None if dollars is None or math.isnan(dollars) else float(dollars)
    return StoredAnswer(
        part=row["name"],
        settings=row["settings"],
        item=row["item"],
        at=_time(row["at"]),
        seconds=row["seconds"],
        dollars=dollars,
        numbers=_numbers(row["answer"]),
    )


def _time(seconds: float) -> datetime:
    """Return a time; that of a damaged number is 1970."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, UTC)


def _numbers(text: str) -> dict[str, Any]:
    """Return the numbers and texts of an answer; the packed metrics of frames are left out."""
    try:
        answer = parse_json(text)
    except ValueError:
        return {"damaged": text[:MAX_TEXT]}
    answer = answer if isinstance(answer, dict) else {"answer": answer}
    if "dtype" in answer:
        return {name: answer[name] for name in ("columns", "dtype")}
    plain = {k: v for k, v in answer.items() if isinstance(v, int | float | str)}
    return {k: v[:MAX_TEXT] if isinstance(v, str) else v for k, v in plain.items()}
