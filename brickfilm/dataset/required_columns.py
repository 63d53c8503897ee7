"""The columns of a dataset of ours, and what is said to one that lacks them, or rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from brickfilm.dataset.reader import MEDIA_COLUMN, DatasetNotFoundError, SavedDataset

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "clips": (
        *("id", "video", "caption", "caption_status", "caption_model", "prompt_digest"),
        *("num_frames", "fps", "fps_num", "fps_den", "height", "width", "aspect_ratio"),
        *("resolution", "duration", "source_id", "source_url", "source_title", "uploader"),
        *("licence", "start", "end", "start_frame", "end_frame", "sha256", "frame_hashes"),
        "near_duplicate_group",
    ),
    "images": (
        *("id", "clip_id", "image", "caption", "caption_status", "caption_model"),
        *("prompt_digest", "height", "width", "aspect_ratio", "resolution", "source_id"),
        *("source_url", "source_title", "uploader", "licence", "sha256"),
    ),
}
"""The columns of docs/dataset-schema.md; clips may have more: new_drawings, and score_*."""


def missing_columns(names: Iterable[str], config: str) -> list[str]:
    """Columns that a config should have; references do without their media."""
    return sorted(set(COLUMNS[config]) - set(names) - {MEDIA_COLUMN[config]})


def column_problems(schema: pa.Schema, config: str) -> Iterator[str]:
    """What a file's columns lack of docs/dataset-schema.md: themselves, or their type."""
    import pyarrow as pa

    from brickfilm.dataset import config_features

    yield from (f"no column {name!r}" for name in missing_columns(schema.names, config))
    promised = config_features(config, []).arrow_schema
    types = dict(zip(promised.names, promised.types, strict=True))
    scores = dict.fromkeys((n for n in schema.names if n.startswith("score_")), pa.float64())
    for name, wanted in (types | scores).items():
        if name in schema.names and schema.field(name).type != wanted:
            yield f"column {name!r} is {schema.field(name).type}, {wanted} was promised"


def require_rows(dataset: SavedDataset) -> None:
    """Raises NoDataset for the columns alone: what is saved of a build that kept nothing."""
    if not any(dataset.num_rows(config) for config in dataset.configs):
        raise DatasetNotFoundError(
            f"{dataset.name!r} has no row: nothing came through, or all was removed"
        )


def require_columns(dataset: SavedDataset) -> None:
    """Raises NoDataset where a config is called like one of ours, and is none."""
    for config in dataset.configs:
        if missing := missing_columns(dataset.columns(config), config):
            raise DatasetNotFoundError(
                f"{dataset.name!r} is not a dataset of brickfilm, or a damaged one: its config "
                f"{config!r} has no {', '.join(missing)}"
            )
