"""Captions by status, and the results of the audit."""

from __future__ import annotations

from collections import Counter

from brickfilm.captions.audit import audit_rates
from brickfilm.captions.reply_format import DESCRIBED, ESCAPE_STATUSES, FILTERED, REFUSAL, TRUNCATED
from brickfilm.report.context import ReportContext
from brickfilm.report.sections.base import Section

STATUSES = (*ESCAPE_STATUSES["clips"], REFUSAL, FILTERED, TRUNCATED, "no caption")


def captions(context: ReportContext) -> Section | None:
    """Return counts of captions by status, and the audit's rates if there was an audit."""
    counts = Counter((row["caption_status"], "clip") for row in context.clips)
    counts.update((row["caption_status"], "image") for row in context.images)
    counts.update(
        (result.reason, result.kind)
        for result in context.item_results
        if result.status == "rejected" and _is_caption_reason(result.reason)
    )
    statuses = sorted({status for status, _ in counts}, key=lambda s: (s != DESCRIBED, s))
    rows = [
        {"status": s, "clips": counts[s, "clip"], "images": counts[s, "image"]} for s in statuses
    ]
    audit = audit_rates(context.work)
    if not rows and audit is None:
        return None
    return Section("captions", "Captions", {"rows": rows, "audit": audit})


def _is_caption_reason(reason: str) -> bool:
    return reason in STATUSES or reason.startswith("audit: ")
