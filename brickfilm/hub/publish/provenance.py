"""Origin of a dataset's rows: stages, tools, rejections and cost, for its card."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brickfilm.build.plan_file import Plan
from brickfilm.errors import UsageError
from brickfilm.files import parse_json

if TYPE_CHECKING:
    import pandas as pd

    from brickfilm.dataset.reader import SavedDataset

PROVENANCE_FILENAME = "brickfilm.json"
"""Published beside a dataset, so that its card can be rendered again without the ledger."""


@dataclass(frozen=True)
class BuildProvenance:
    """Facts that only the ledger of the build has. None: not measured."""

    stages: Sequence[Mapping[str, Any]] | None = None
    """Every stage in order: its name, its call as Python, its plain settings."""
    tools: Mapping[str, str] | None = None
    rejections: Sequence[Mapping[str, Any]] | None = None
    """Items and seconds of footage by stage and reason."""
    unfinished: Mapping[str, int] | None = None
    """Number of items by status, `failed` or `waiting`."""
    spend: Sequence[Mapping[str, Any]] | None = None
    """Requests, tokens and US dollars by stage and model."""
    audit: Mapping[str, Any] | None = None
    """`AuditRates` of the captions, as JSON."""
    review: Mapping[str, Mapping[str, Any]] | None = None
    """Rates of errors of captions and cuts in a random sample: as numbers and in words."""
    removed: int = 0
    """Number of clips that were removed on request."""

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False)


def load_provenance(dataset: SavedDataset) -> BuildProvenance:
    """Read provenance from the build's ledger, else from the file of an earlier push."""
    if dataset.work is not None:
        return _provenance_from_ledger(dataset.work, dataset)
    text = dataset.read_text(PROVENANCE_FILENAME)
    return parse_provenance(text, dataset.name) if text else BuildProvenance()


def parse_provenance(text: str, name: str) -> BuildProvenance:
    """Return the provenance in a published file; raise UsageError if it is not one."""
    try:
        provenance = BuildProvenance(**parse_json(text))
        is_valid = isinstance(provenance.removed, int) and all(
            isinstance(stage["name"], str) and isinstance(stage["settings"], dict)
            for stage in provenance.stages or ()
        )
    except (ValueError, TypeError, KeyError):
        is_valid = False
    if not is_valid:
        raise UsageError(
            f"{PROVENANCE_FILENAME} of {name!r} is not provenance of brickfilm: delete that file, "
            "or name another dataset"
        )
    return provenance


def _provenance_from_ledger(work: Path, dataset: SavedDataset) -> BuildProvenance:
    from brickfilm.captions.audit import audit_rates
    from brickfilm.captions.error_rates import RATED_COLUMNS, review_rates
    from brickfilm.engine.ledger import ledger_frame, spend_frame
    from brickfilm.engine.tombstones import Tombstones

    results = ledger_frame(work)
    rejected = results[results.outcome == "rejected"]
    reasons = rejected.groupby(["position", "stage", "reason"]).seconds.agg(["size", "sum"])
    rejections = reasons.reset_index().rename(columns={"size": "items", "sum": "seconds"})
    unfinished = results[results.outcome.isin(["failed", "waiting"])].outcome.value_counts()
    plan = Plan.read(work)
    audit = audit_rates(work)
    has_clips = "clips" in dataset.configs
    clips = dataset.to_pandas("clips", RATED_COLUMNS).to_dict("records") if has_clips else []
    rates = review_rates(work, clips)
    return BuildProvenance(
        stages=[vars(stage) for stage in plan.stages] if plan else None,
        tools=plan.tools if plan else None,
        rejections=_to_records(rejections.drop(columns="position")),
        unfinished={str(status): int(count) for status, count in unfinished.items()},
        spend=_to_records(spend_frame(work).fillna(0)),
        audit=asdict(audit) if audit else None,
        review={name: {**asdict(rate), "rate": str(rate)} for name, rate in rates.items()} or None,
        removed=Tombstones.load(work).clips_removed,
    )


def _to_records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Convert a table to plain Python values, fit for JSON."""
    return list(json.loads(frame.to_json(orient="records")))
