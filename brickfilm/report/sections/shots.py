"""List the transitions at the ends of clips, and the cuts that are least sure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from brickfilm.dataset.rows import DatasetRow
from brickfilm.report.context import ReportContext
from brickfilm.report.sections.base import Section
from brickfilm.schema.columns import TRANSITION_COLUMNS

SURE = 0.9
"""Probability from which a decision about a cut is not listed."""
MAX_LISTED = 20
COLUMNS = (
    *("id", "source_id", "source_title", "start", *TRANSITION_COLUMNS),
    *("score_flashes", "score_cut_start", "score_cut_end", "score_cut_inside"),
)


@dataclass(frozen=True)
class TransitionCount:
    """Number of clips that begin and that end in one way."""

    kind: str
    starts: int
    ends: int


@dataclass(frozen=True)
class DoubtfulClip:
    """A clip with the least sure decision about its cuts."""

    id: str
    label: str
    doubt: str
    sureness: float


def shots(context: ReportContext) -> Section | None:
    """Return the clips by transition, those with flashes, and the doubtful ones, worst first."""
    starts, ends, counts = Counter[str](), Counter[str](), Counter[str]()
    doubtful: list[tuple[float, str, DoubtfulClip]] = []
    if TRANSITION_COLUMNS[0] not in context.clips.names:
        return None
    for row in context.clips.select(*COLUMNS):
        if row.get(TRANSITION_COLUMNS[0]):
            starts[row[TRANSITION_COLUMNS[0]]] += 1
            ends[row[TRANSITION_COLUMNS[1]]] += 1
            counts["flashes"] += row.get("score_flashes", 0) > 0
            found = _least_sure(row)
            if found.sureness < SURE:
                counts["num_doubtful"] += 1
                doubtful = sorted([*doubtful, (found.sureness, found.id, found)])[:MAX_LISTED]
    if not starts:
        return None
    data = {
        "counts": [TransitionCount(kind, starts[kind], ends[kind]) for kind in starts | ends],
        "flashes": counts["flashes"],
        "doubtful": [found for _, _, found in doubtful],
        "num_doubtful": counts["num_doubtful"],
    }
    return Section("shots", "Shots", data)


def _least_sure(row: DatasetRow) -> DoubtfulClip:
    """Return the least sure of three: the cut before a clip, the one after it, none inside."""
    decisions = (
        (row.get("score_cut_start", 1.0), "the cut at its start"),
        (row.get("score_cut_end", 1.0), "the cut at its end"),
        (1 - row.get("score_cut_inside", 0.0), "no cut inside"),
    )
    sureness, doubt = min(decisions)
    title = row["source_title"] or row["source_id"]
    return DoubtfulClip(row["id"], f"{title}, {row['start']:.1f} s", doubt, sureness)
