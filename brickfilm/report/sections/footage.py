"""All footage by outcome, in seconds."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from brickfilm.engine.ledger import ItemResult
from brickfilm.report.context import ReportContext
from brickfilm.report.sections.base import Section
from brickfilm.report.titles import stage_title

BETWEEN_CLIPS = "between the clips"
"""Footage in no clip and no rejected shot: transitions and rounding."""
ROUNDING_SECONDS = 0.05


@dataclass(frozen=True)
class FootageShare:
    """Seconds of footage with one status and reason, and their percentage of all footage."""

    status: str
    reason: str
    seconds: float
    percent: float


def footage(context: ReportContext) -> Section | None:
    """Return footage by outcome: kept by split, then the rest by status and reason."""
    seconds_of_status = seconds_by_status(context)
    total = sum(seconds_of_status.values())
    if not total:
        return None
    shares = [
        FootageShare(status, reason, seconds, 100 * seconds / total)
        for (status, reason), seconds in seconds_of_status.items()
    ]
    data = {"shares": shares, "total": total, "duplicate_names": count_duplicate_names(context)}
    return Section("footage", "Footage by outcome", data)


def count_duplicate_names(context: ReportContext) -> int:
    """Count source ids whose video another source id has, too."""
    names = {result.source_id for result in context.notable_results if result.kind == "video"}
    return len(names) - len(context.video_seconds)


def seconds_by_status(context: ReportContext) -> dict[tuple[str, str], float]:
    """Return seconds by (status, split or reason); a video with two names counts once."""
    seconds: defaultdict[tuple[str, str], float] = defaultdict(float)
    kept: defaultdict[str, float] = defaultdict(float)
    for row in context.clips.select("id", "duration"):
        kept[context.split_of(row["id"])] += row["duration"]
    for split in sorted(kept, reverse=True):
        seconds["kept", split] = kept[split]
    results = [*dropped_videos(context), *context.left_out_results.values()]
    for result in sorted(results, key=lambda r: (r.position, r.status, r.reason)):
        seconds[result.status, f"{stage_title(result.stage)}: {result.reason}"] += result.seconds
    rest = sum(context.video_seconds.values()) - sum(seconds.values())
    if rest > ROUNDING_SECONDS:
        seconds["cut", BETWEEN_CLIPS] = rest
    return dict(seconds)


def dropped_videos(context: ReportContext) -> list[ItemResult]:
    """Return the final results of videos that were rejected, failed or wait as a whole."""
    results = [r for r in context.notable_results if r.kind == "video" and r.status != "done"]
    return list({result.item: result for result in reversed(results)}.values())
