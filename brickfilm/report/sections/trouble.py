"""What failed and what waits, with its message and what to do about it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from brickfilm.engine.ledger import ItemResult
from brickfilm.report.context import ReportContext
from brickfilm.report.sections.base import Section

MAX_LISTED = 200
"""Items listed of one kind of trouble; the ledger has them all."""

REMEDIES = {
    "budget": "Raise the stage's max_cost_usd, then run the same command: nothing is paid twice.",
    "interrupted": "Run the same command again: it goes on where it stopped.",
    "unreadable": "Replace or remove the file. The next run tries it again.",
    "no answer": "The next run asks again. The lost requests may have been charged.",
    "worker died": "Often memory: try fewer processes, or leave this film out.",
}
DEFAULT_REMEDIES = {
    "failed": "The next run tries it again. If it fails again, the message says why.",
    "waiting": "Nothing is wrong: the next run goes on with it.",
}


@dataclass(frozen=True)
class UnfinishedGroup:
    """Items of a stage that did not get through, for one reason."""

    stage: str
    status: str
    reason: str
    remedy: str
    items: list[ItemResult]
    unlisted: int


def unfinished(material: ReportContext) -> Section | None:
    """Failed first, then waiting; nothing where all is done."""
    alike: defaultdict[tuple[str, int, str, str], list[ItemResult]] = defaultdict(list)
    for end in material.item_results:
        if end.status in DEFAULT_REMEDIES:
            alike[end.status, end.position, end.stage, end.reason].append(end)
    groups = [
        UnfinishedGroup(
            stage,
            status,
            reason,
            REMEDIES.get(reason, DEFAULT_REMEDIES[status]),
            items[:MAX_LISTED],
            max(0, len(items) - MAX_LISTED),
        )
        for (status, _, stage, reason), items in sorted(alike.items())
    ]
    return Section("trouble", "Not done yet", {"groups": groups}) if groups else None
