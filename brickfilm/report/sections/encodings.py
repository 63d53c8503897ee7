"""Clips that were to be copied: how many were, and why the others were encoded."""

from __future__ import annotations

from collections import Counter

from brickfilm.report.context import ReportContext
from brickfilm.report.sections.base import Section
from brickfilm.schema.columns import ENCODING


def encodings(context: ReportContext) -> Section | None:
    """Return the number of clips for each value of their column, the most frequent first."""
    counts = Counter(row[ENCODING] for row in context.clips.select(ENCODING) if row.get(ENCODING))
    if not counts:
        return None
    return Section("encodings", "Copied clips", {"rows": counts.most_common()})
