"""Statistics of a dataset's rows, for its card. None: not measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from brickfilm.hub.publish.provenance import BuildProvenance
from brickfilm.records import EDITED_BY_HAND
from brickfilm.schema.licences import LicenceUsage

if TYPE_CHECKING:
    import pandas as pd

    from brickfilm.dataset.data_files import SplitKey

MAJORITY = 0.5


@dataclass(frozen=True)
class ColumnValues:
    """Values of one column over all clips, drawn as a histogram if they differ."""

    name: str
    """Name of the column, and of the picture's file without its suffix."""
    title: str
    unit: str
    values: Sequence[float]

    @property
    def constant(self) -> float | None:
        """Return the value that all clips share, or None if they differ."""
        return self.values[0] if len(set(self.values)) == 1 else None


@dataclass(frozen=True)
class SplitStats:
    """Size of one split of one config."""

    config: str
    split: str
    rows: int
    hours: float | None
    """None for stills."""
    bytes: int = 0
    """Total size of its parquet files."""


@dataclass(frozen=True)
class DatasetStats:
    """Statistics of a dataset, and the provenance of its rows."""

    splits: Sequence[SplitStats]
    licences: Sequence[LicenceUsage]
    histograms: Sequence[ColumnValues]
    caption_status: Mapping[str, int]
    edited_captions: float | None
    """Fraction of clips whose caption a person wrote or corrected."""
    caption_words: float | None
    """Mean number of words."""
    repeated_captions: float | None
    """Fraction of clips whose caption another clip has word for word."""
    captioners: Sequence[tuple[str, str, int]]
    """(model, name of a built-in prompt and prompt digest, number of clips)"""
    caption_audit: Mapping[str, float | None]
    """Fraction of captions that break each rule of those that it is for, by the rule's remedy."""
    foreign_captions: float | None
    """Fraction of captions that are not English."""
    near_duplicates: int | None
    """Number of clips that look like another clip."""
    videos: int
    provenance: BuildProvenance = field(default_factory=BuildProvenance)

    def split_names(self, config: str) -> list[str]:
        return [s.split for s in self.splits if s.config == config]

    @property
    def is_english(self) -> bool:
        """Return whether most captions pass the language rule."""
        return self.foreign_captions is not None and self.foreign_captions < MAJORITY

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
    """Compute statistics of the rows without media (`SavedDataset.to_pandas_by_config`)."""
    clips = frames["clips"]
    captioned = clips[clips.caption.fillna("") != ""]
    captions = captioned.caption
    words = captions.map(lambda text: len(text.split()))
    return DatasetStats(
        splits=[s for config, frame in frames.items() for s in _split_stats(config, frame, sizes)],
        licences=list(_licence_usage(frames)),
        histograms=list(_column_values(clips)),
        caption_status={str(k): int(n) for k, n in clips.caption_status.value_counts().items()},
        edited_captions=_edited_share(clips),
        caption_words=words.mean() if len(captions) else None,
        repeated_captions=float(captions.duplicated(keep=False).mean()) if len(captions) else None,
        captioners=list(_captioners(clips)),
        caption_audit=_rule_violation_rates(captioned),
        foreign_captions=_foreign_share(captions.tolist()),
        near_duplicates=_count_near_duplicates(clips),
        videos=len({source for rows in frames.values() for source in rows.source_id}),
        provenance=provenance,
    )


def _split_stats(
    config: str, frame: pd.DataFrame, sizes: Mapping[SplitKey, int]
) -> Iterator[SplitStats]:
    for split, rows in frame.groupby("split", sort=False):
        hours = float(rows.duration.sum()) / 3600 if "duration" in rows else None
        size = sizes.get((config, str(split)), 0)
        yield SplitStats(config, str(split), len(rows), hours, size)


def _licence_usage(frames: Mapping[str, pd.DataFrame]) -> Iterator[LicenceUsage]:
    """Count videos, clips and stills by licence; a still may be all that is left of a video."""
    clips = frames["clips"]
    stills = frames.get("images", clips[:0])
    for licence in sorted({*clips.licence.fillna(""), *stills.licence.fillna("")}):
        of_clips, of_stills = (rows[rows.licence.fillna("") == licence] for rows in (clips, stills))
        yield LicenceUsage(
            licence,
            videos=len({*of_clips.source_id, *of_stills.source_id}),
            clips=len(of_clips),
            stills=len(of_stills),
            hours=float(of_clips.duration.sum()) / 3600,
        )


def _column_values(clips: pd.DataFrame) -> Iterator[ColumnValues]:
    yield ColumnValues("num_frames", "Clip length", "frames", clips.num_frames.tolist())
    yield ColumnValues("duration", "Clip duration", "seconds", clips.duration.tolist())
    for name in clips.columns:
        if name.startswith("score_") and clips[name].notna().any():
            title = name.removeprefix("score_").replace("_", " ").capitalize()
            yield ColumnValues(name, title, f"column {name}", clips[name].dropna().tolist())


def _edited_share(clips: pd.DataFrame) -> float | None:
    return float((clips.caption_model == EDITED_BY_HAND).mean()) if len(clips) else None


def _captioners(clips: pd.DataFrame) -> Iterator[tuple[str, str, int]]:
    from brickfilm.captions.prompts import names_by_digest

    captioned = clips[clips.caption_model.fillna("") != ""]
    for (model, digest), rows in captioned.groupby(
        ["caption_model", "prompt_digest"], dropna=False
    ):
        name = names_by_digest().get(str(digest), "")
        yield str(model), f"{name} {digest}".strip(), len(rows)


def _rule_violation_rates(clips: pd.DataFrame) -> dict[str, float | None]:
    """Return the fraction of captions that break each rule of their prompt, by its remedy."""
    from brickfilm.captions.lint import RULES, count_rules, lint

    digests = clips.prompt_digest.fillna("").where(clips.caption_model != EDITED_BY_HAND, "")
    rules = {digest: _rules_of(digest) for digest in digests.unique()}
    applied = Counter(rule for digest in digests for rule in rules[digest])
    texts = zip(clips.caption, digests, strict=True)
    broken = count_rules(lint(text, rules[digest]) for text, digest in texts)
    return {RULES[rule].remedy: broken[rule] / applied[rule] for rule in RULES if applied[rule]}


def _rules_of(prompt_digest: str) -> tuple[str, ...]:
    """Return the rules of a built-in prompt, `general`'s for another; without one, of files."""
    from brickfilm.captions.lint import FILE_RULES
    from brickfilm.captions.prompts import load_prompt, names_by_digest

    if not prompt_digest:
        return FILE_RULES
    return load_prompt(names_by_digest().get(prompt_digest, "general")).rules


def _foreign_share(captions: Sequence[str]) -> float | None:
    from brickfilm.captions.lint import lint

    foreign = sum(bool(lint(text, ["language"])) for text in captions)
    return foreign / len(captions) if captions else None


def _count_near_duplicates(clips: pd.DataFrame) -> int | None:
    groups = clips.near_duplicate_group.fillna("")
    if not (groups != "").any():
        return None
    sizes = groups[groups != ""].value_counts()
    return int(sizes[sizes > 1].sum())
