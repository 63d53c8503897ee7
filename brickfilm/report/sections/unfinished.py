"""Failed and waiting items, with their messages and remedies."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from brickfilm.engine.ledger import ItemResult
from brickfilm.report.context import ReportContext
from brickfilm.report.sections.base import Section

MAX_LISTED = 200
"""Maximum number of items listed in a group; the ledger has all of them."""

REMEDIES = {
    "budget": "Raise the stage's max_cost_usd and run the same command: nothing is paid twice.",
    "interrupted": "Run the same command again to continue.",
    "unreadable": "Replace or remove the file, then run the same command again.",
    "no answer": "The next run sends the request again. The lost one may have been charged.",
    "worker died": "Often out of memory: use fewer processes, or leave this video out.",
}
DEFAULT_REMEDIES = {
    "failed": "The next run tries it again. If it fails again, see its message.",
    "waiting": "No error: the next run continues with it.",
}


@dataclass(frozen=True)
class UnfinishedGroup:
    """Failed or waiting items of one stage with one reason."""

    stage: str
    status: str
    reason: str
    remedy: str
    items: list[ItemResult]
    unlisted: int


def unfinished(context: ReportContext) -> Section | None:
    """Return failed, then waiting items by stage and reason; None if all are done."""
    by_reason: defaultdict[tuple[str, int, str, str], list[ItemResult]] = defaultdict(list)
    for result in context.item_results:
        if result.status in DEFAULT_REMEDIES:
            key = (result.status, result.position, result.stage, result.reason)
            by_reason[key].append(result)
    groups = [
        UnfinishedGroup(
            stage,
            status,
            reason,
            REMEDIES.get(reason, DEFAULT_REMEDIES[status]),
            items[:MAX_LISTED],
            max(0, len(items) - MAX_LISTED),
        )
        for (status, _, stage, reason), items in sorted(by_reason.items())
    ]
    return Section("unfinished", "Unfinished items", {"groups": groups}) if groups else None
