"""The ledger of a work folder, and views of it as pandas tables."""

from __future__ import annotations

from brickfilm.engine.ledger.edits import (
    CaptionEdit,
    delete_edits,
    edit_at,
    merge_edits,
    read_edits,
    save_edits,
)
from brickfilm.engine.ledger.frames import (
    answered_parts,
    answers_frame,
    caption_texts,
    entries_of_last_pass,
    item_answers,
    latest_answers,
    ledger_frame,
    open_jobs_frame,
    paid_by_item,
    probed_digests,
    spend_frame,
    token_totals,
    unknown_cost,
    usage_frame,
)
from brickfilm.engine.ledger.item_results import ItemResult, result_digest
from brickfilm.engine.ledger.join import join_ledger, start_from_ledger
from brickfilm.engine.ledger.ledger import BatchJob, Ledger, Reservation
from brickfilm.engine.ledger.reviews import (
    RANDOM_QUEUE,
    Review,
    TrimmedClip,
    read_reviews,
    read_trims,
    save_review,
    undo_review,
)
from brickfilm.engine.ledger.stored_records import StoredRecord, read_records, record_digest

__all__ = [
    "RANDOM_QUEUE",
    "BatchJob",
    "CaptionEdit",
    "ItemResult",
    "Ledger",
    "Reservation",
    "Review",
    "StoredRecord",
    "TrimmedClip",
    "answered_parts",
    "answers_frame",
    "caption_texts",
    "delete_edits",
    "edit_at",
    "entries_of_last_pass",
    "item_answers",
    "join_ledger",
    "latest_answers",
    "ledger_frame",
    "merge_edits",
    "open_jobs_frame",
    "paid_by_item",
    "probed_digests",
    "read_edits",
    "read_records",
    "read_reviews",
    "read_trims",
    "record_digest",
    "result_digest",
    "save_edits",
    "save_review",
    "spend_frame",
    "start_from_ledger",
    "token_totals",
    "undo_review",
    "unknown_cost",
    "usage_frame",
]
