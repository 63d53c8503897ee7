"""How many items each stage passed on, and what it left out, by reason."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from brickfilm.engine.ledger import ItemResult
from brickfilm.report.context import ReportContext
from brickfilm.report.sections.base import Section

PLURALS = {"listing": "listings", "video": "films", "clip": "clips", "image": "images"}
SINGULARS = {"video": "film"}


@dataclass(frozen=True)
class ResultCount:
    """Items of one stage with one status and reason."""

    status: str
    reason: str
    kinds: str
    """How many of each kind of record."""
    seconds: float


def stages(material: ReportContext) -> Section | None:
    """A table: stage by stage, done, then rejected, failed and waiting by reason."""
    by_stage: defaultdict[tuple[int, str], list[ItemResult]] = defaultdict(list)
    for status in material.item_results:
        by_stage[status.position, status.stage].append(status)
    table = [
        (name, count_results(item_results)) for (_, name), item_results in sorted(by_stage.items())
    ]
    return Section("stages", "Stage by stage", {"table": table}) if table else None


def count_results(item_results: Iterable[ItemResult]) -> list[ResultCount]:
    """Outcomes of one stage, counted; what is done comes first."""
    alike: defaultdict[tuple[bool, str, str], list[ItemResult]] = defaultdict(list)
    for status in item_results:
        alike[status.status != "done", status.status, status.reason].append(status)
    return [
        ResultCount(status, reason, format_kinds(items), sum(item.seconds for item in items))
        for (_, status, reason), items in sorted(alike.items())
    ]


def format_kinds(items: Iterable[ItemResult]) -> str:
    """`12 clips, 1 image`."""
    counts = Counter(item.kind for item in items)
    return ", ".join(
        f"{n:,} {SINGULARS.get(kind, kind) if n == 1 else PLURALS[kind]}"
        for kind, n in sorted(counts.items())
    )
