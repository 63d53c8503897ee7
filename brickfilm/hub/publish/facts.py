"""What is known of a dataset, as numbers and names: everything that its card says.

A fact that nobody measured is None, and reads 'not measured'.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from brickfilm.build.plan_file import Plan
from brickfilm.schema.licences import LicenceUsage

if TYPE_CHECKING:
    import pandas as pd

    from brickfilm.dataset.reader import SavedDataset, SplitKey

PROVENANCE_FILENAME = "brickfilm.json"
"""Lies beside a published dataset, so that its card can be written again without the ledger."""
MAJORITY = 0.5


@dataclass(frozen=True)
class BuildProvenance:
    """How the rows came to be: known to the ledger of the build, carried along afterwards."""

    stages: Sequence[Mapping[str, Any]] | None = None
    """Every stage in order: its name, how it was asked for, its plain settings."""
    tools: Mapping[str, str] | None = None
    rejections: Sequence[Mapping[str, Any]] | None = None
    """Items and seconds of footage by stage and reason."""
    unfinished: Mapping[str, int] | None = None
    """Items that failed or wait, by outcome."""
    spend: Sequence[Mapping[str, Any]] | None = None
    """Requests, tokens and US dollars by stage and model."""
    audit: Mapping[str, Any] | None = None
    """Captions checked, asked for again, rejected; rules broken at first, and in what was kept."""
    removed: int = 0
    """Clips taken out on request."""

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False)


@dataclass(frozen=True)
class Histogram:
    """The values of one column, a picture of the card where they differ."""

    name: str
    """The column, and the picture's file without its suffix."""
    title: str
    unit: str
    values: Sequence[float]

    @property
    def constant(self) -> float | None:
        """What every clip has, if all have the same."""
        return self.values[0] if len(set(self.values)) == 1 else None


@dataclass(frozen=True)
class SplitStats:
    """One split of one config."""

    config: str
    split: str
    rows: int
    hours: float | None
    """None for stills."""
    bytes: int = 0
    """Of its parquet files."""


@dataclass(frozen=True)
class DatasetStats:
    """All that the card of a dataset is written from."""

    splits: Sequence[SplitStats]
    licences: Sequence[LicenceUsage]
    histograms: Sequence[Histogram]
    caption_status: Mapping[str, int]
    caption_words: float | None
    repeated_captions: float | None
    """Share of clips whose caption another clip has word for word."""
    captioners: Sequence[tuple[str, str, int]]
    """(model, prompt digest, clips)"""
    caption_audit: Mapping[str, float | None]
    """Shares of clips by what their captions do against the rules."""
    near_duplicates: int | None
    """Clips that look like another clip."""
    videos: int
    provenance: BuildProvenance = field(default_factory=BuildProvenance)

    def split_names(self, config: str) -> list[str]:
        return [s.split for s in self.splits if s.config == config]

    @property
    def is_english(self) -> bool:
        """Whether most captions are, as far as their rule can tell."""
        from brickfilm.captions.lint import RULES

        foreign = self.caption_audit[RULES["language"].remedy]
        return foreign is not None and foreign < MAJORITY

    @property
    def clips(self) -> int:
        return sum(s.rows for s in self.splits if s.config == "clips")

    @property
    def images(self) -> int:
        return sum(s.rows for s in self.splits if s.config == "images")

    @property
    def hours(self) -> float:
        return sum(s.hours or 0.0 for s in self.splits)


def compute_stats(
    frames: Mapping[str, pd.DataFrame], provenance: BuildProvenance, sizes: Mapping[SplitKey, int]
) -> DatasetStats:
    """The facts of tables without media (`SavedDataset.frame`), one a config."""
    clips = frames["clips"]
    described = clips[clips.caption.fillna("") != ""].caption
    return DatasetStats(
        splits=[s for config, frame in frames.items() for s in _split_stats(config, frame, sizes)],
        licences=list(_licence_shares(frames)),
        histograms=list(_histograms(clips)),
        caption_status={str(k): int(n) for k, n in clips.caption_status.value_counts().items()},
        caption_words=described.map(lambda text: len(text.split())).mean()
        if len(described)
        else None,
        repeated_captions=float(described.duplicated(keep=False).mean())
        if len(described)
        else None,
        captioners=list(_captioners(clips)),
        caption_audit=_rule_violation_rates(described.tolist()),
        near_duplicates=_count_near_duplicates(clips),
        videos=len({source for rows in frames.values() for source in rows.source_id}),
        provenance=provenance,
    )


def load_provenance(dataset: SavedDataset) -> BuildProvenance:
    """From the ledger of the build, else from what an earlier publication carried along."""
    if dataset.work is not None:
        return _provenance_from_ledger(dataset)
    carried = dataset.read_text(PROVENANCE_FILENAME)
    return BuildProvenance(**json.loads(carried)) if carried else BuildProvenance()


def _provenance_from_ledger(dataset: SavedDataset) -> BuildProvenance:
    from brickfilm.captions.audit import audit_rates
    from brickfilm.engine.ledger import ledger_frame, spend_frame
    from brickfilm.engine.tombstones import Tombstones

    assert dataset.work is not None
    outcomes = ledger_frame(dataset.work)
    rejected = outcomes[outcomes.outcome == "rejected"]
    reasons = rejected.groupby(["position", "stage", "reason"]).seconds.agg(["size", "sum"])
    rejections = reasons.reset_index().rename(columns={"size": "items", "sum": "seconds"})
    unfinished = outcomes[outcomes.outcome.isin(["failed", "waiting"])].outcome.value_counts()
    plan = Plan.read(dataset.work)
    audit = audit_rates(dataset.work)
    return BuildProvenance(
        stages=[vars(stage) for stage in plan.stages] if plan else None,
        tools=plan.tools if plan else None,
        rejections=_to_records(rejections.drop(columns="position")),
        unfinished={str(k): int(n) for k, n in unfinished.items()},
        spend=_to_records(spend_frame(dataset.work).fillna(0)),
        audit=asdict(audit) if audit else None,
        removed=Tombstones.load(dataset.work).clips_removed,
    )


def _to_records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A table as plain Python, fit for JSON."""
    return list(json.loads(frame.to_json(orient="records")))


def _split_stats(
    config: str, frame: pd.DataFrame, sizes: Mapping[SplitKey, int]
) -> Iterator[SplitStats]:
    for split, rows in frame.groupby("split", sort=False):
        hours = float(rows.duration.sum()) / 3600 if "duration" in rows else None
        size = sizes.get((config, str(split)), 0)
        yield SplitStats(config, str(split), len(rows), hours, size)


def _licence_shares(frames: Mapping[str, pd.DataFrame]) -> Iterator[LicenceUsage]:
    """Of clips and stills: a still may be all that is left of a film."""
    clips = frames["clips"]
    stills = frames.get("images", clips[:0])
    for written in sorted({*clips.licence.fillna(""), *stills.licence.fillna("")}):
        moving, still = (rows[rows.licence.fillna("") == written] for rows in (clips, stills))
        yield LicenceUsage(
            written,
            videos=len({*moving.source_id, *still.source_id}),
            clips=len(moving),
            stills=len(still),
            hours=float(moving.duration.sum()) / 3600,
        )


def _histograms(clips: pd.DataFrame) -> Iterator[Histogram]:
    yield Histogram("num_frames", "Clip length", "frames", clips.num_frames.tolist())
    yield Histogram("duration", "Clip duration", "seconds", clips.duration.tolist())
    for name in clips.columns:
        if name.startswith("score_") and clips[name].notna().any():
            title = name.removeprefix("score_").replace("_", " ").capitalize()
            yield Histogram(name, title, f"column {name}", clips[name].dropna().tolist())


def _captioners(clips: pd.DataFrame) -> Iterator[tuple[str, str, int]]:
    named = clips[clips.caption_model.fillna("") != ""]
    for (model, digest), rows in named.groupby(["caption_model", "prompt_digest"], dropna=False):
        yield str(model), str(digest), len(rows)


def _rule_violation_rates(captions: Sequence[str]) -> dict[str, float | None]:
    """Shares of captions that break each rule, in the rule's own words."""
    from brickfilm.captions.lint import RULES, count_rules, lint

    broken = count_rules(lint(text) for text in captions)
    share = {rule: broken[rule] / len(captions) if captions else None for rule in RULES}
    return {RULES[rule].remedy: value for rule, value in share.items()}


def _count_near_duplicates(clips: pd.DataFrame) -> int | None:
    groups = clips.near_duplicate_group.fillna("")
    if not (groups != "").any():
        return None
    sizes = groups[groups != ""].value_counts()
    return int(sizes[sizes > 1].sum())
