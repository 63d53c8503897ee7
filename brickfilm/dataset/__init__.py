"""Datasets: the final pass over all rows, parquet files, reading, rewriting and validation."""

from __future__ import annotations

from brickfilm.dataset.saved_card import config_yaml_entry, render_saved_card
from brickfilm.dataset.tables import config_features, configs_from_rows
from brickfilm.dataset.write import save_configs, write_empty_parquet, write_shards

__all__ = [
    "config_features",
    "config_yaml_entry",
    "configs_from_rows",
    "render_saved_card",
    "save_configs",
    "write_empty_parquet",
    "write_shards",
]
