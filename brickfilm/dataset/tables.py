"""Tables of the `datasets` library, built from rows and from the types of `schema.columns`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from brickfilm.dataset.rows import DatasetRow, video_id_of
from brickfilm.schema.columns import (
    CAPTION_STYLES,
    COLUMN_TYPES,
    CONFIGS,
    MEDIA_COLUMN,
    OPTIONAL_CLIP_COLUMNS,
    SCORE_PREFIX,
    SHOT_DETECTOR,
    TRANSITION_COLUMNS,
)

if TYPE_CHECKING:
    from datasets import DatasetDict, Features

LATER = (SHOT_DETECTOR, *TRANSITION_COLUMNS)
"""Optional columns that a table without rows does not have, as the first release wrote it."""


def configs_from_rows(
    clips: Sequence[DatasetRow],
    images: Sequence[DatasetRow],
    split_by_video: Mapping[str, str],
    work: Path,
) -> dict[str, DatasetDict]:
    """Split the rows of both configs by video; media paths in the rows are relative to `work`."""
    return {
        config: _split_rows(
            rows, MEDIA_COLUMN[config], config_features(config, rows), split_by_video, work
        )
        for config, rows in zip(CONFIGS, (clips, images), strict=True)
    }


def config_features(config: str, rows: Sequence[DatasetRow] = ()) -> Features:
    """Return the columns of a config, which depend on the scores and captions of its rows."""
    from datasets import Features, Image, List, Value, Video

    features = {
        **{name: Value(name) for name in ("string", "int64", "float64")},
        **{f"list<{name}>": List(Value(name)) for name in ("string", "int64")},
        **{"video": Video(decode=False), "image": Image()},
    }
    return Features({name: features[kind] for name, kind in _column_types(config, rows).items()})


def _column_types(config: str, rows: Sequence[DatasetRow]) -> dict[str, str]:
    """Return the required columns, the optional ones that any clip has, scores and styles."""
    types = dict(COLUMN_TYPES[config])
    if config == "clips":
        for name, kind in OPTIONAL_CLIP_COLUMNS.items():
            if any(name in row for row in rows) or (not rows and name not in LATER):
                types[name] = kind
        scores = {name for row in rows for name in row if name.startswith(SCORE_PREFIX)}
        types |= dict.fromkeys(sorted(scores), "float64")
    if any(row.get(CAPTION_STYLES) for row in rows):
        types[CAPTION_STYLES] = "string"
    return types


def _split_rows(
    rows: Sequence[DatasetRow],
    media: str,
    features: Features,
    split_by_video: Mapping[str, str],
    work: Path,
) -> DatasetDict:
    from datasets import Dataset, DatasetDict

    splits: dict[str, list[DatasetRow]] = {"train": [], "test": []}
    for row in rows:
        located = {**dict.fromkeys(features), **row, media: str(work.resolve() / row[media])}
        splits[split_by_video[video_id_of(row["id"])]].append(located)
    nonempty = {split: part for split, part in splits.items() if part} or {"train": []}
    columns = {
        split: {name: [row[name] for row in part] for name in features}
        for split, part in nonempty.items()
    }
    return DatasetDict({s: Dataset.from_dict(c, features=features) for s, c in columns.items()})
