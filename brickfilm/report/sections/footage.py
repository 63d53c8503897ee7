"""What became of every second of footage."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from brickfilm.engine.ledger import ItemResult
from brickfilm.report.context import ReportContext
from brickfilm.report.sections.base import Section

BETWEEN_CLIPS = "between the clips"
"""In no clip and in no rejected shot: transitions, and what rounding leaves."""
ROUNDING_SECONDS = 0.05


@dataclass(frozen=True)
class FootageShare:
    """Seconds with the same fate, and what part of all the footage that is."""

    status: str
    reason: str
    seconds: float
    percent: float


def footage(material: ReportContext) -> Section | None:
    """A bar of all footage: kept by split, then everything else by reason."""
    seconds_of_status = seconds_by_status(material)
    total = sum(seconds_of_status.values())
    if not total:
        return None
    shares = [
        FootageShare(*fate, seconds, 100 * seconds / total)
        for fate, seconds in seconds_of_status.items()
    ]
    data = {"shares": shares, "total": total, "again": count_duplicate_names(material)}
    return Section("footage", "Every second of footage", data)


def count_duplicate_names(material: ReportContext) -> int:
    """Names under which a film came that had already come under another."""
    return len({o.source_id for o in material.item_results if o.kind == "video"}) - len(
        material.video_seconds
    )


def seconds_by_status(material: ReportContext) -> dict[tuple[str, str], float]:
    """Seconds by (status, split or reason); a place that came under two names counts once."""
    seconds: defaultdict[tuple[str, str], float] = defaultdict(float)
    for row in sorted(material.clips, key=lambda row: material.split_of(row["id"]), reverse=True):
        seconds["kept", material.split_of(row["id"])] += row["duration"]
    ends = [*dropped_videos(material), *material.left_out_results.values()]
    for end in sorted(ends, key=lambda end: (end.position, end.status, end.reason)):
        seconds[end.status, f"{end.stage}: {end.reason}"] += end.seconds
    rest = sum(material.video_seconds.values()) - sum(seconds.values())
    if rest > ROUNDING_SECONDS:
        seconds["cut", BETWEEN_CLIPS] = rest
    return dict(seconds)


def dropped_videos(material: ReportContext) -> list[ItemResult]:
    """The outcomes that ended a whole film."""
    ended = [o for o in material.item_results if o.kind == "video" and o.status != "done"]
    return list({end.item: end for end in reversed(ended)}.values())
