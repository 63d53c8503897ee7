"""What the captioner answered, and what the audit found."""

from __future__ import annotations

from collections import Counter

from brickfilm.captions.audit import audit_rates
from brickfilm.captions.reply_format import DESCRIBED, ESCAPE_STATUSES, FILTERED, REFUSAL, TRUNCATED
from brickfilm.report.context import ReportContext
from brickfilm.report.sections.base import Section

STATUSES = (*ESCAPE_STATUSES["clips"], REFUSAL, FILTERED, TRUNCATED, "no caption")


def captions(material: ReportContext) -> Section | None:
    """Captions by status, for clips and images; the audit's rates where there was one."""
    counts = Counter((row["caption_status"], "clip") for row in material.clips)
    counts.update((row["caption_status"], "image") for row in material.images)
    counts.update(
        (outcome.reason, outcome.kind)
        for outcome in material.item_results
        if outcome.status == "rejected" and _is_caption_reason(outcome.reason)
    )
    statuses = sorted({status for status, _ in counts}, key=lambda s: (s != DESCRIBED, s))
    rows = [
        {"status": s, "clips": counts[s, "clip"], "images": counts[s, "image"]} for s in statuses
    ]
    audit = audit_rates(material.work)
    if not rows and audit is None:
        return None
    return Section("captions", "Captions", {"rows": rows, "audit": audit})


def _is_caption_reason(reason: str) -> bool:
    return reason in STATUSES or reason.startswith("audit: ")
