"""Items of each stage by status and reason."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from brickfilm.engine.ledger import ItemResult
from brickfilm.report.context import ReportContext
from brickfilm.report.sections.base import Section


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
    by_stage: defaultdict[tuple[int, str], list[ItemResult]] = defaultdict(list)
    for result in context.item_results:
        by_stage[result.position, result.stage].append(result)
    table = [(name, count_results(results)) for (_, name), results in sorted(by_stage.items())]
    return Section("stages", "Results by stage", {"table": table}) if table else None


def count_results(item_results: Iterable[ItemResult]) -> list[ResultCount]:
    """Count the results of one stage by status and reason; done comes first."""
    groups: defaultdict[tuple[bool, str, str], list[ItemResult]] = defaultdict(list)
    for result in item_results:
        groups[result.status != "done", result.status, result.reason].append(result)
    return [
        ResultCount(status, reason, format_kinds(items), sum(item.seconds for item in items))
        for (_, status, reason), items in sorted(groups.items())
    ]


def format_kinds(items: Iterable[ItemResult]) -> str:
    """Format the number of items by kind, as `12 clips, 1 image`."""
    counts = Counter(item.kind for item in items)
    return ", ".join(f"{n:,} {kind}{'' if n == 1 else 's'}" for kind, n in sorted(counts.items()))
