"""The dataset that a build gives, and the parquet files it is saved as."""

from __future__ import annotations

from brickfilm.dataset.dataset import (
    FINGERPRINT_FILENAME,
    FORMAT_VERSION,
    BrickfilmDataset,
    config_features,
    config_yaml_entry,
    dataset_from_rows,
    render_saved_card,
    write_empty_parquet,
    write_shards,
)

__all__ = [
    "FINGERPRINT_FILENAME",
    "FORMAT_VERSION",
    "BrickfilmDataset",
    "config_features",
    "config_yaml_entry",
    "dataset_from_rows",
    "render_saved_card",
    "write_empty_parquet",
    "write_shards",
]
