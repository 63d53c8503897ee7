"""Save materialized rows as a dataset, and the status of every row as CSV."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from brickfilm.dataset import configs_from_rows, save_configs
from brickfilm.dataset.rows import DatasetRow, video_id_of
from brickfilm.hub.materialize.compare import MATCHING, RowResult
from brickfilm.schema.columns import MEDIA_COLUMN

CSV_COLUMNS = ("config", "id", "verdict", "note", "source_id", "source_url")


def save_matching_rows(results: Sequence[RowResult], out: Path) -> Path:
    """Save the rows that match as a dataset in `out`, and return its folder."""
    rows: dict[str, list[DatasetRow]] = {"clips": [], "images": []}
    splits: dict[str, str] = {}
    for result in results:
        if result.status in MATCHING and result.record is not None:
            rows[result.config].append(_updated_row(result))
            splits[video_id_of(result.row["id"])] = result.row["split"]
    configs = configs_from_rows(rows["clips"], rows["images"], splits, out)
    return save_configs(configs, out / "dataset")


def _updated_row(result: RowResult) -> DatasetRow:
    """Return the published row with its new media: the same place, perhaps other bytes."""
    record = result.record
    assert record is not None
    row = {k: v for k, v in result.row.items() if k not in ("split", "file")}
    for name in {"frame_hashes", "new_drawings"} & set(row):
        row[name] = list(row[name])
    return {
        **row,
        MEDIA_COLUMN[result.config]: str(record.path),
        "sha256": record.sha256,
        "width": record.width,
        "height": record.height,
        "aspect_ratio": record.height / record.width,
        "resolution": record.height * record.width,
    }


def write_table(results: Sequence[RowResult], path: Path) -> Path:
    """Write the status of every row as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(CSV_COLUMNS)
        for result in results:
            row = result.row
            source = (row["source_id"], row["source_url"])
            table.writerow([result.config, row["id"], result.status, result.note, *source])
    return path
