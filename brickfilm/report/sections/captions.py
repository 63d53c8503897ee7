"""Captions by status, and the results of the audit."""

from __future__ import annotations

from collections import Counter

from brickfilm.captions.audit import audit_rates
from brickfilm.captions.error_rates import RATED_COLUMNS, review_rates
from brickfilm.captions.reply_format import DESCRIBED, is_caption_reason
from brickfilm.records import EDITED_BY_HAND
from brickfilm.report.context import ReportContext
from brickfilm.report.sections.base import Section


def captions(context: ReportContext) -> Section | None:
    """Return counts of captions by status, and the audit's rates if there was an audit."""
    counts = Counter((status, "clip") for status in context.clips.column("caption_status"))
    counts.update((status, "image") for status in context.images.column("caption_status"))
    counts.update(
        (result.reason, result.kind)
        for result in context.notable_results
        if result.status == "rejected" and is_caption_reason(result.reason)
    )
    statuses = sorted({status for status, _ in counts}, key=lambda s: (s != DESCRIBED, s))
    rows = [
        {"status": s, "clips": counts[s, "clip"], "images": counts[s, "image"]} for s in statuses
    ]
    audit = audit_rates(context.work)
    rates = review_rates(context.work, context.clips.select(*RATED_COLUMNS))
    if not rows and audit is None:
        return None
    edited = [
        sum(model == EDITED_BY_HAND for model in rows_of.column("caption_model"))
        for rows_of in (context.clips, context.images)
    ]
    data = {"rows": rows, "audit": audit, "edited": edited, "rates": rates}
    return Section("captions", "Captions", data)
