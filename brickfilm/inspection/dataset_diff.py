"""Compare two datasets row by row, and the settings that made them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brickfilm.build.plan_file import Plan
from brickfilm.dataset.reader import SavedDataset, find_dataset
from brickfilm.dataset.rows import video_id_of
from brickfilm.engine.ledger import ledger_frame

if TYPE_CHECKING:
    import pandas as pd

CAUSES = {
    "caption": ("caption_model", "prompt_digest", "caption_status"),
    "sha256": ("num_frames", "height", "width", "fps"),
}
"""Columns that say why another one changed."""


@dataclass(frozen=True, kw_only=True)
class ConfigDiff:
    """The differences of one config (`clips` or `images`)."""

    config: str
    same: int
    added: Sequence[str]
    """Ids."""
    gone: Mapping[str, str]
    """Ids with the reason, as far as the second folder's ledger has one."""
    changed: Mapping[str, Sequence[str]]
    """Ids by column."""
    causes: Mapping[str, int]
    """Rows by the columns that changed along, as 'caption with prompt_digest'."""

    @property
    def is_empty(self) -> bool:
        return not (self.added or self.gone or self.changed)


@dataclass(frozen=True, kw_only=True)
class DatasetDiff:
    """The differences of two datasets."""

    configs: Sequence[ConfigDiff]
    settings: Sequence[str]
    """Settings and versions that differ, as 'SceneSplitter.min_frames: 15 -> 20'."""

    @property
    def is_empty(self) -> bool:
        """Return True if no row differs; settings may."""
        return all(config.is_empty for config in self.configs)


def diff_datasets(before: str | Path, after: str | Path) -> DatasetDiff:
    """Compare the datasets in two folders or repositories; raise DatasetNotFoundError."""
    old, new = find_dataset(before), find_dataset(after)
    names = list(dict.fromkeys((*old.configs, *new.configs)))
    return DatasetDiff(
        configs=[_diff_config(name, old, new) for name in names],
        settings=list(_changed_settings(_plan(old), _plan(new))),
    )


def _diff_config(config: str, old: SavedDataset, new: SavedDataset) -> ConfigDiff:
    before, after = (_rows(saved, config) for saved in (old, new))
    shared = [id for id in before if id in after]
    changes = {id: _changed_columns(before[id], after[id]) for id in shared}
    by_column: dict[str, list[str]] = {}
    for id, columns in changes.items():
        for column in columns:
            by_column.setdefault(column, []).append(id)
    return ConfigDiff(
        config=config,
        same=sum(not columns for columns in changes.values()),
        added=[id for id in after if id not in before],
        gone=_reasons([id for id in before if id not in after], new, after),
        changed=dict(sorted(by_column.items())),
        causes=dict(Counter(text for columns in changes.values() for text in _causes(columns))),
    )


def _rows(saved: SavedDataset, config: str) -> dict[str, dict[Any, Any]]:
    if config not in saved.configs:
        return {}
    frame = saved.to_pandas(config).drop(columns=["file"])
    return {row["id"]: row for row in frame.to_dict("records")}


def _changed_columns(before: Mapping[Any, Any], after: Mapping[Any, Any]) -> list[str]:
    names = dict.fromkeys((*before, *after))
    return [name for name in names if not _is_equal(before.get(name), after.get(name))]


def _is_equal(a: Any, b: Any) -> bool:
    """Compare two cells: NaN and an absent one are equal, arrays are compared by their elements."""
    a, b = (None if cell is not None and _is_nan(cell) else cell for cell in (a, b))
    if hasattr(a, "tolist") or hasattr(b, "tolist"):
        a, b = (cell.tolist() if hasattr(cell, "tolist") else cell for cell in (a, b))
    return bool(a == b)


def _is_nan(cell: Any) -> bool:
    return isinstance(cell, float) and math.isnan(cell)


def _causes(columns: Sequence[str]) -> Iterator[str]:
    for column, others in CAUSES.items():
        if column in columns:
            along = [other for other in others if other in columns]
            yield f"{column} with {' and '.join(along)}" if along else f"{column} alone"


def _reasons(ids: Sequence[str], new: SavedDataset, after: Mapping[str, Any]) -> dict[str, str]:
    """Return the reason for which each id is not in the second dataset."""
    results = ledger_frame(new.work) if ids and new.work else None
    videos = {video_id_of(id) for id in after}
    return {id: _reason(id, results, videos) for id in ids}


def _reason(item: str, results: pd.DataFrame | None, videos: set[str]) -> str:
    if results is not None:
        own = results[(results["item"] == item) & (results.outcome != "done")]
        for row in own.tail(1).to_dict("records"):
            return f"{row['outcome']} by {row['stage']}: {row['reason']}"
        videos = videos | set(results[results.kind == "video"]["item"])
    video = video_id_of(item)
    return "its video is cut elsewhere" if video in videos else "its video is not there"


def _plan(saved: SavedDataset) -> Plan | None:
    return Plan.read(saved.work) if saved.work else None


def _changed_settings(old: Plan | None, new: Plan | None) -> Iterator[str]:
    """Yield the settings and versions that differ; nothing if one of the plans is not there."""
    if old is None or new is None:
        return
    before, after = _flat(old), _flat(new)
    for name in dict.fromkeys((*before, *after)):
        a, b = before.get(name, "not there"), after.get(name, "not there")
        if a != b:
            yield f"{name}: {a} -> {b}"


def _flat(plan: Plan) -> dict[str, str]:
    """Return every setting of a plan by 'Stage.setting'; a second stage of a name is 'Stage#2'."""
    seen: Counter[str] = Counter()
    values: dict[str, str] = {}
    for stage in plan.stages:
        seen[stage.name] += 1
        name = stage.name if seen[stage.name] == 1 else f"{stage.name}#{seen[stage.name]}"
        values[name] = "in the plan"
        values |= {f"{name}.{key}": repr(value) for key, value in stage.settings.items()}
    return values | {f"version of {tool}": version for tool, version in plan.tools.items()}
