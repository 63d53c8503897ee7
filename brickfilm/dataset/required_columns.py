"""Check that a dataset has rows and the required columns, of the required types."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from brickfilm.dataset.data_files import DatasetNotFoundError
from brickfilm.dataset.reader import SavedDataset
from brickfilm.dataset.tables import config_features
from brickfilm.schema.columns import SCORE_PREFIX, missing_columns

if TYPE_CHECKING:
    import pyarrow as pa


def column_problems(schema: pa.Schema, config: str) -> Iterator[str]:
    """Yield each required column that is missing or has another type (docs/dataset-schema.md)."""
    import pyarrow as pa

    yield from (f"no column {name!r}" for name in missing_columns(schema.names, config))
    required = config_features(config).arrow_schema
    types = dict(zip(required.names, required.types, strict=True))
    scores = dict.fromkeys((n for n in schema.names if n.startswith(SCORE_PREFIX)), pa.float64())
    for name, wanted in (types | scores).items():
        if name in schema.names and schema.field(name).type != wanted:
            yield f"column {name!r} is {schema.field(name).type}, should be {wanted}"


def require_rows(dataset: SavedDataset) -> None:
    """Raise DatasetNotFoundError if no config has rows, as when a build dropped every clip."""
    if not any(dataset.num_rows(config) for config in dataset.configs):
        raise DatasetNotFoundError(
            f"{dataset.name!r} has no rows: all clips were dropped or removed; "
            "`brickfilm status` of its work folder lists the reasons"
        )


def require_columns(dataset: SavedDataset) -> None:
    """Raise DatasetNotFoundError if a config of our names lacks a column, or has another type."""
    for config in dataset.configs:
        with dataset.open_parquet(dataset.files[config, dataset.splits(config)[0]][0]) as file:
            problems = [p for p in column_problems(file.schema_arrow, config) if "should be" in p]
        if problems and not missing_columns(dataset.columns(config), config):
            raise DatasetNotFoundError(
                f"{dataset.name!r} is not a dataset of brickfilm: in its config {config!r} "
                f"{'; '.join(problems[:3])}; name another dataset"
            )
        if missing := missing_columns(dataset.columns(config), config):
            raise DatasetNotFoundError(
                f"{dataset.name!r} is not a dataset of brickfilm, or is damaged: its config "
                f"{config!r} has no columns {', '.join(missing)}; name another, or build it again"
            )
