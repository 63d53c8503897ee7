"""ReviewSession: what the review page asks of a work folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import tenacity

from brickfilm.captions.error_rates import caption_digest, review_rates
from brickfilm.engine.ledger import (
    CaptionEdit,
    Review,
    TrimmedClip,
    ledger_frame,
    read_edits,
    read_reviews,
    read_trims,
    save_review,
    undo_review,
)
from brickfilm.errors import BrickfilmError, UsageError, WorkdirBusy
from brickfilm.records import MAX_CAPTION
from brickfilm.review.captions import edit_of
from brickfilm.review.queues import ReviewItem, items_of_build, with_decisions
from brickfilm.schema.safe_paths import file_inside

RETRY_SECONDS = 0.05
LOCK_SECONDS = 3.0
"""Time to wait for another page that is writing; a build holds the lock for longer."""
MAX_NAME, MAX_NOTE = 80, 500
"""Characters."""
Answer = TypeVar("Answer")


class ReviewConflict(BrickfilmError):
    """Somebody decided about the item since it was shown, in another window or elsewhere."""


@dataclass(frozen=True, kw_only=True)
class ReviewAct:
    """One decision of a person about an item of the page."""

    item: str
    reviewer: str
    queue: str
    seen: int = 0
    """Number of the last verdict that the page had shown; 0 for none."""
    caption: str | None = None
    """A new caption; None leaves it."""
    reject: bool = False
    note: str = ""
    caption_wrong: bool = False
    cut_wrong: bool = False
    trim: tuple[int, int] | None = None
    """Frames [start, end) of the clip to keep, counted from its first."""


@dataclass
class ReviewSession:
    """The items of a work folder, and what people decide about them."""

    work: Path
    items: dict[str, ReviewItem] = field(init=False)

    def __post_init__(self) -> None:
        self._lock = Lock()
        self.reload()

    def reload(self) -> None:
        """Read the last build and all decisions anew."""
        self._built = items_of_build(self.work)
        self._passed = set(ledger_frame(self.work)["item"])
        self._refresh()

    def _refresh(self) -> None:
        """Read the decisions anew, which is fast for any number of clips."""
        self.items = with_decisions(self.work, self._built)

    def page_data(self) -> dict[str, Any]:
        """Return all items, and the rates of errors so far, as JSON."""
        with self._lock:
            self.reload()
            items = [item.to_json() for item in self.items.values()]
        return {"items": items, "rates": self.rates(), "work": self.work.resolve().name}

    def rates(self) -> dict[str, str]:
        """Return the rates of errors by name, with their intervals, in words."""
        rows = [
            {
                "id": id,
                "caption": item.caption.caption,
                "caption_model": item.caption.model,
                "prompt_digest": item.prompt_digest,
            }
            for id, item in self.items.items()
            if item.record.kind == "clip"
        ]
        rates = review_rates(self.work, rows, self._passed)
        return {name: str(rate) for name, rate in rates.items()}

    def act(self, act: ReviewAct) -> dict[str, Any]:
        """Store a decision; return the item as it is now.

        Raise ReviewConflict if another window was faster, WorkdirBusy while a build runs, and
        UsageError for a decision that contradicts itself.
        """
        with self._lock:
            _check_act(act)
            item = self._item(act.item)
            last = next((r for r in reversed(read_reviews(self.work)) if r.item == act.item), None)
            if last and last.number != act.seen:
                who = "you have" if last.reviewer == act.reviewer else f"{last.reviewer} has"
                raise ReviewConflict(f"{who} decided about this clip meanwhile: look, then decide")
            trim = self._trim(act, item)
            edits = self._edits(act, item, trim)
            review = Review(
                item=act.item,
                reviewer=act.reviewer,
                queue=act.queue,
                caption_wrong=act.caption_wrong,
                cut_wrong=act.cut_wrong,
                caption_model=item.caption.model,
                prompt_digest=item.prompt_digest,
                caption_digest=caption_digest(item.caption.caption),
            )
            _when_free(lambda: save_review(self.work, review, edits, trim))
            self._refresh()
            return self._item(act.item).to_json()

    def undo(self, reviewer: str) -> dict[str, Any] | None:
        """Take the last decision of a person back; return its item, or None if there is none."""
        with self._lock:
            undone = _when_free(lambda: undo_review(self.work, reviewer))
            self._refresh()
            item = self.items.get(undone.item) if undone else None
            return item.to_json() if item else None

    def media(self, item: str, still: int | None = None) -> Path:
        """Return the file of an item, or one of its stills; raise UsageError if there is none."""
        record = self._item(item).record
        if still is None:
            names: tuple[str, ...] = (record.path,) if record.path else ()
            still = 0
        else:
            names = record.stills
        if not 0 <= still < len(names) or not (self.work / names[still]).is_file():
            raise UsageError(f"{item!r} has no such file")
        return file_inside(self.work, names[still])

    def _item(self, item: str) -> ReviewItem:
        if item not in self.items:
            raise UsageError(f"{item!r} is not in the last build: reload the page")
        return self.items[item]

    def _edits(
        self, act: ReviewAct, item: ReviewItem, trim: TrimmedClip | None
    ) -> list[CaptionEdit]:
        shown = item.caption
        text = shown.caption if act.caption is None else act.caption.strip()
        wanted = replace(shown, caption=text, reject=act.reject, note=act.note)
        if trim is None:
            edit = edit_of(wanted, shown)
            return [edit] if edit else []
        if not text:
            return []
        edit = CaptionEdit(item=trim.result, caption=text, reject=act.reject, note=act.note)
        return [edit, *self._image_edits(act.item, trim)]

    def _image_edits(self, clip: str, trim: TrimmedClip) -> list[CaptionEdit]:
        """Return the edits of the clip's image under its id in the trimmed clip."""
        edits = read_edits(self.work)
        images = {id: id.rpartition("-")[2] for id in edits if id.startswith(f"{clip}-f")}
        return [
            replace(edits[id], item=f"{trim.result}-{frame}")
            for id, frame in images.items()
            if trim.start_frame <= int(frame[1:]) < trim.end_frame
        ]

    def _trim(self, act: ReviewAct, item: ReviewItem) -> TrimmedClip | None:
        """Return the trim of a decision in frames of the video, of the clip as it was first cut."""
        if act.trim is None:
            return None
        first, end = act.trim
        if item.record.kind != "clip" or not 0 <= first < end <= item.record.num_frames:
            raise UsageError(
                f"trim {first}-{end}: give frames of the clip, 0 to {item.record.num_frames}"
            )
        start = int(act.item.rsplit("-", 2)[1])
        cut = next((t.item for t in read_trims(self.work).values() if t.result == act.item), None)
        return TrimmedClip(item=cut or act.item, start_frame=start + first, end_frame=start + end)


def _check_act(act: ReviewAct) -> None:
    if not act.reviewer.strip() or len(act.reviewer) > MAX_NAME:
        raise UsageError(f"write your name, of at most {MAX_NAME} characters")
    if len(act.note) > MAX_NOTE or len(act.caption or "") > MAX_CAPTION:
        raise UsageError(f"captions have at most {MAX_CAPTION:,} characters, notes {MAX_NOTE}")


def _when_free(write: Callable[[], Answer]) -> Answer:
    """Write once the lock of the work folder is free; raise WorkdirBusy if it stays taken."""
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(WorkdirBusy),
        wait=tenacity.wait_fixed(RETRY_SECONDS),
        stop=tenacity.stop_after_delay(LOCK_SECONDS),
        reraise=True,
    )(write)
