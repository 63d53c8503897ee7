"""One SQLite file in the work folder that remembers every answer, and every dollar."""

from __future__ import annotations

from brickfilm.engine.ledger.ledger import (
    BatchJob,
    ItemResult,
    Ledger,
    Reservation,
    answers_frame,
    latest_answers,
    ledger_frame,
    spend_frame,
    usage_frame,
)

__all__ = [
    "BatchJob",
    "ItemResult",
    "Ledger",
    "Reservation",
    "answers_frame",
    "latest_answers",
    "ledger_frame",
    "spend_frame",
    "usage_frame",
]
