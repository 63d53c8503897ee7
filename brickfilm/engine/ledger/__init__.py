"""The ledger of a work folder, and views of it as pandas tables."""

from __future__ import annotations

from brickfilm.engine.ledger.frames import (
    answers_frame,
    latest_answers,
    ledger_frame,
    spend_frame,
    usage_frame,
)
from brickfilm.engine.ledger.ledger import BatchJob, ItemResult, Ledger, Reservation

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
