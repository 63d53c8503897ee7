"""Recount the clips of a build by other bounds, from the scores that it stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from brickfilm.engine.ledger import StoredRecord, ledger_frame, read_records
from brickfilm.errors import UsageError
from brickfilm.stages.keep import CLIP_PROPERTIES, Keep

if TYPE_CHECKING:
    import pandas as pd

KEPT = "kept"
COLUMNS = ("status", "reason", "clips", "meet", "seconds", "seconds_meet", "not_measured")


def recount(work: str | Path, bounds: Sequence[Keep]) -> pd.DataFrame:
    """Count the clips of the last build that meet bounds, by status and reason now (COLUMNS).

    status is 'kept' for the clips in the dataset. A clip without one of the scores counts under
    `not_measured` and meets nothing. Raise UsageError for a score that no clip has.
    """
    import pandas as pd

    clips = {id: r for id, r in read_records(work).items() if r.kind == "clip"}
    _check_names(bounds, clips)
    left_out = _left_out(work)
    rows = []
    for item, record in clips.items():
        values = [_value(record, bound.score) for bound in bounds]
        is_measured = None not in values
        pairs = zip(bounds, values, strict=True)
        meets = is_measured and not any(b.broken_bound(v) for b, v in pairs if v is not None)
        status, reason = left_out.get(item, (KEPT, ""))
        seconds = record.duration
        rows.append((status, reason, 1, meets, seconds, seconds * meets, not is_measured))
    frame = pd.DataFrame(rows, columns=COLUMNS)
    sums = frame.groupby(["status", "reason"], as_index=False).sum()
    return sums.sort_values(["status", "reason"], key=lambda c: c.where(c != KEPT, ""))


def _value(record: StoredRecord, name: str) -> float | None:
    """Return a property by the name that `Keep` has for it, or a score; None if not measured."""
    if name in CLIP_PROPERTIES:
        return float(getattr(record, name))
    return record.scores.get(name)


def _check_names(bounds: Sequence[Keep], clips: Mapping[str, StoredRecord]) -> None:
    names = {name for record in clips.values() for name in record.scores}
    for bound in bounds:
        if bound.score not in names and bound.score not in CLIP_PROPERTIES:
            known = ", ".join(sorted({*names, *CLIP_PROPERTIES}))
            raise UsageError(f"no clip has the score {bound.score!r}: give one of {known}")


def _left_out(work: str | Path) -> dict[str, tuple[str, str]]:
    """Return status and reason of each clip that is not in the dataset; its last result counts."""
    results = ledger_frame(work)
    out = results[(results.kind == "clip") & (results.outcome != "done")]
    pairs = zip(out.outcome, out.reason, strict=True)
    return dict(zip(out["item"], pairs, strict=True))
