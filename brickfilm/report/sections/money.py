"""Cost of model requests."""

from __future__ import annotations

from brickfilm.engine.ledger import spend_frame
from brickfilm.report.context import ReportContext
from brickfilm.report.sections.base import Section


def money(context: ReportContext) -> Section | None:
    """Return requests, tokens and US dollars by stage and model, over all runs."""
    rows = spend_frame(context.work).fillna(0).to_dict("records")
    return Section("money", "Cost", {"rows": rows}) if rows else None
