"""What became of every second of footage."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from brickfilm.engine.ledger import ItemResult
from brickfilm.report.context import Material
from brickfilm.report.sections.base import Section

CUT_AWAY = "between the clips"
"""In no clip and in no rejected shot: transitions, and what rounding leaves."""
ROUNDING_SECONDS = 0.05


@dataclass(frozen=True)
class Share:
    """Seconds with the same fate, and what part of all the footage that is."""

    status: str
    reason: str
    seconds: float
    percent: float


def footage(material: Material) -> Section | None:
    """A bar of all footage: kept by split, then everything else by reason."""
    fates = fates_of_seconds(material)
    total = sum(fates.values())
    if not total:
        return None
    shares = [Share(*fate, seconds, 100 * seconds / total) for fate, seconds in fates.items()]
    facts = {"shares": shares, "total": total, "again": names_again(material)}
    return Section("footage", "Every second of footage", facts)


def names_again(material: Material) -> int:
    """Names under which a film came that had already come under another."""
    return len({o.source_id for o in material.item_results if o.kind == "video"}) - len(
        material.films
    )


def fates_of_seconds(material: Material) -> dict[tuple[str, str], float]:
    """Seconds by (status, split or reason); a place that came under two names counts once."""
    seconds: defaultdict[tuple[str, str], float] = defaultdict(float)
    for row in sorted(material.clips, key=lambda row: material.split_of(row["id"]), reverse=True):
        seconds["kept", material.split_of(row["id"])] += row["duration"]
    ends = [*whole_films(material), *material.clip_fates.values()]
    for end in sorted(ends, key=lambda end: (end.position, end.status, end.reason)):
        seconds[end.status, f"{end.stage}: {end.reason}"] += end.seconds
    rest = sum(material.films.values()) - sum(seconds.values())
    if rest > ROUNDING_SECONDS:
        seconds["cut", CUT_AWAY] = rest
    return dict(seconds)


def whole_films(material: Material) -> list[ItemResult]:
    """The outcomes that ended a whole film."""
    ended = [o for o in material.item_results if o.kind == "video" and o.status != "done"]
    return list({end.item: end for end in reversed(ended)}.values())
