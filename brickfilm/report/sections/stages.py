"""Items of each stage by status and reason."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from brickfilm.report.context import ReportContext
from brickfilm.report.sections.base import Section

Group = tuple[int, str, bool, str, str]
"""Position and name of a stage, False if done (which comes first), status and reason."""


@dataclass(frozen=True)
class ResultCount:
    """Items of one stage with one status and reason."""

    status: str
    reason: str
    kinds: str
    """Number of items by kind of record, as text."""
    seconds: float


def stages(context: ReportContext) -> Section | None:
    """Return counts by stage: done, then rejected, failed and waiting by reason."""
    kinds: defaultdict[Group, Counter[str]] = defaultdict(Counter)
    seconds: defaultdict[Group, float] = defaultdict(float)
    for (position, stage, kind, status, reason), (count, total) in context.stage_totals.items():
        group = position, stage, status != "done", status, reason
        kinds[group][kind] += count
        seconds[group] += total
    table: defaultdict[tuple[int, str], list[ResultCount]] = defaultdict(list)
    for group in sorted(seconds):
        position, stage, _, status, reason = group
        counted = ResultCount(status, reason, format_kinds(kinds[group]), seconds[group])
        table[position, stage].append(counted)
    rows = [(stage, counts) for (_, stage), counts in table.items()]
    return Section("stages", "Results by stage", {"table": rows}) if rows else None


def format_kinds(counts: Mapping[str, int]) -> str:
    """Format the number of items by kind, as `12 clips, 1 image`."""
    return ", ".join(f"{n:,} {kind}{'' if n == 1 else 's'}" for kind, n in sorted(counts.items()))
