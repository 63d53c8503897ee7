"""What models were paid."""

from __future__ import annotations

from brickfilm.engine.ledger import spend_frame
from brickfilm.report.context import ReportContext
from brickfilm.report.sections.base import Section


def money(material: ReportContext) -> Section | None:
    """Requests, tokens and US dollars by stage and model, over the life of the work folder."""
    rows = spend_frame(material.work).fillna(0).to_dict("records")
    return Section("money", "Cost", {"rows": rows}) if rows else None
