"""How many items each stage passed on, and what it left out, by reason."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from brickfilm.engine.ledger import Outcome
from brickfilm.report.context import Material
from brickfilm.report.sections.base import Section

PLURALS = {"listing": "listings", "video": "films", "clip": "clips", "image": "images"}
SINGULARS = {"video": "film"}


@dataclass(frozen=True)
class Count:
    """Items of one stage with one outcome and reason."""

    outcome: str
    reason: str
    kinds: str
    """How many of each kind of record."""
    seconds: float


def stages(material: Material) -> Section | None:
    """A table: stage by stage, done, then rejected, failed and waiting by reason."""
    by_stage: defaultdict[tuple[int, str], list[Outcome]] = defaultdict(list)
    for outcome in material.outcomes:
        by_stage[outcome.position, outcome.stage].append(outcome)
    table = [(name, counts_of(outcomes)) for (_, name), outcomes in sorted(by_stage.items())]
    return Section("stages", "Stage by stage", {"table": table}) if table else None


def counts_of(outcomes: Iterable[Outcome]) -> list[Count]:
    """Outcomes of one stage, counted; what is done comes first."""
    alike: defaultdict[tuple[bool, str, str], list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        alike[outcome.outcome != "done", outcome.outcome, outcome.reason].append(outcome)
    return [
        Count(outcome, reason, kinds_of(items), sum(item.seconds for item in items))
        for (_, outcome, reason), items in sorted(alike.items())
    ]


def kinds_of(items: Iterable[Outcome]) -> str:
    """`12 clips, 1 image`."""
    counts = Counter(item.kind for item in items)
    return ", ".join(
        f"{n:,} {SINGULARS.get(kind, kind) if n == 1 else PLURALS[kind]}"
        for kind, n in sorted(counts.items())
    )
