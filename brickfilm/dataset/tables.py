"""Tables of the `datasets` library, built from rows and from the types of `schema.columns`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from brickfilm.dataset.rows import DatasetRow, video_id_of
from brickfilm.dataset.table_writer import TableWriter
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


def config_features(config: str, rows: Iterable[DatasetRow] = ()) -> Features:
    """Return the columns of a config, which depend on the scores and captions of its rows."""
    from datasets import Features, Image, List, Value, Video

    features = {
        **{name: Value(name) for name in ("string", "int64", "float64")},
        **{f"list<{name}>": List(Value(name)) for name in ("string", "int64")},
        **{"video": Video(decode=False), "image": Image()},
    }
    return Features({name: features[kind] for name, kind in _column_types(config, rows).items()})


def _column_types(config: str, rows: Iterable[DatasetRow]) -> dict[str, str]:
    """Return the required columns, the optional ones that any clip has, scores and styles."""
    names: set[str] = set()
    has_styles = False
    for row in rows:
        names.update(row)
        has_styles = has_styles or bool(row.get(CAPTION_STYLES))
    types = dict(COLUMN_TYPES[config])
    if config == "clips":
        for name, kind in OPTIONAL_CLIP_COLUMNS.items():
            if name in names or (not names and name not in LATER):
                types[name] = kind
        types |= dict.fromkeys(sorted(n for n in names if n.startswith(SCORE_PREFIX)), "float64")
    if has_styles:
        types[CAPTION_STYLES] = "string"
    return types


def _split_rows(
    rows: Sequence[DatasetRow],
    media: str,
    features: Features,
    split_by_video: Mapping[str, str],
    work: Path,
) -> DatasetDict:
    """Return a table for each split, of rows in their order; `train` alone if there are none."""
    from datasets import DatasetDict

    folder = work.resolve()
    splits = {split: TableWriter(features, work, len(rows)) for split in ("train", "test")}
    for row in rows:
        located = {**row, media: {"path": str(folder / row[media])}}
        splits[split_by_video[video_id_of(row["id"])]].append(located)
    tables = {split: table.close() for split, table in splits.items()}
    nonempty = {split: table for split, table in tables.items() if len(table)}
    return DatasetDict(nonempty or {"train": tables["train"]})
