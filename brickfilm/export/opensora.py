"""Open-Sora 1.x: a CSV of paths and captions, beside the clips and images."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brickfilm.dataset.reader import SavedDataset
from brickfilm.export.base import (
    ExportResult,
    count_rows_without_caption,
    require_media,
    write_captioned_media,
    write_file,
)
from brickfilm.files import make_folder

CSV_COLUMNS = ("path", "text", "num_frames", "height", "width", "aspect_ratio", "fps", "resolution")
IMAGE_FPS = 120
"""Frame rate that Open-Sora gives its network for images."""


def export_opensora(dataset: SavedDataset, out: Path) -> ExportResult:
    """Write `clips/`, `images/` and `opensora.csv`, whose paths are absolute."""
    require_media(dataset)
    without_caption = count_rows_without_caption(dataset)
    index, counts = make_folder(out) / "opensora.csv", {"clips": 0, "images": 0}
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, CSV_COLUMNS)
    table.writeheader()
    for config in dataset.configs:
        for path, row in write_captioned_media(dataset, config, out / config):
            table.writerow(_csv_row(path, row))
            counts[config] += 1
    write_file(index, text.getvalue().encode())
    return ExportResult(index, counts["clips"], counts["images"], without_caption)


def _csv_row(path: Path, row: Mapping[str, Any]) -> dict[str, object]:
    same = {name: row[name] for name in ("height", "width", "aspect_ratio", "resolution")}
    return {
        "path": path.resolve(),
        "text": row["caption"],
        "num_frames": row.get("num_frames", 1),
        "fps": row.get("fps", IMAGE_FPS),
        **same,
    }
