"""The dataset that a build gives, and the parquet files it is saved as."""

from __future__ import annotations

from brickfilm.dataset.dataset import (
    FINGERPRINT,
    FORMAT_VERSION,
    BrickfilmDataset,
    config_facts,
    dataset_of,
    features_of,
    saved_card,
    write_columns,
    write_shards,
)

__all__ = [
    "FINGERPRINT",
    "FORMAT_VERSION",
    "BrickfilmDataset",
    "config_facts",
    "dataset_of",
    "features_of",
    "saved_card",
    "write_columns",
    "write_shards",
]
