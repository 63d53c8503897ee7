"""Failed, waiting and lost items, with their messages and remedies."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
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


LOST_REMEDIES = {
    "damaged": "The shots around these frames are kept. An undamaged copy of the file has all.",
    "truncated": "What decodes is kept. Copy or fetch the whole file, then run again.",
    "missing stills": "Numbers are missing in the sequence: clips end there. Add the stills, or "
    "number the files without a gap, then run again.",
}
"""Reasons of footage that was lost before it came here, and what helps."""


@dataclass(frozen=True)
class UnfinishedGroup:
    """Items of one stage with one status and reason."""

    stage: str
    status: str
    reason: str
    remedy: str
    items: list[ItemResult]
    unlisted: int

    @property
    def total(self) -> int:
        return len(self.items) + self.unlisted


def unfinished(context: ReportContext) -> Section | None:
    """Return failed, then waiting items by stage and reason; None if all are done."""
    groups = groups_by_reason(r for r in context.notable_results if r.status in DEFAULT_REMEDIES)
    return Section("unfinished", "Unfinished items", {"groups": groups}) if groups else None


def lost_footage(context: ReportContext) -> Section | None:
    """Return damaged and missing footage, and files that were passed over, by reason."""
    groups = groups_by_reason(
        r
        for r in context.notable_results
        if r.status == "rejected" and (r.kind == "listing" or r.reason in LOST_REMEDIES)
    )
    return (
        Section("lost", "Damaged, missing and passed over", {"groups": groups}) if groups else None
    )


def groups_by_reason(item_results: Iterable[ItemResult]) -> list[UnfinishedGroup]:
    """Group items by status, stage and reason, each group with its remedy."""
    by_reason: defaultdict[tuple[str, int, str, str], list[ItemResult]] = defaultdict(list)
    counts: Counter[tuple[str, int, str, str]] = Counter()
    for result in item_results:
        key = (result.status, result.position, result.stage, result.reason)
        counts[key] += 1
        if counts[key] <= MAX_LISTED:
            by_reason[key].append(result)
    remedies = {**REMEDIES, **LOST_REMEDIES}
    return [
        UnfinishedGroup(
            stage,
            status,
            reason,
            remedies.get(reason, DEFAULT_REMEDIES.get(status, "")),
            by_reason[key],
            count - len(by_reason[key]),
        )
        for key, count in sorted(counts.items())
        for status, _, stage, reason in [key]
    ]
