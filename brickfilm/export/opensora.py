"""Open-Sora 1.x: a CSV of paths and captions, beside the clips and images it names."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brickfilm.dataset.reader import SavedDataset
from brickfilm.export.base import (
    Exported,
    must_have_media,
    rows_without_caption,
    write_whole,
    written_rows,
)
from brickfilm.files import make_folder

COLUMNS = ("path", "text", "num_frames", "height", "width", "aspect_ratio", "fps", "resolution")
IMAGE_FPS = 120
"""What Open-Sora tells its network of a picture that does not move."""


def export_opensora(saved: SavedDataset, out: Path) -> Exported:
    """Write `clips/`, `images/` and `opensora.csv`, whose paths are absolute."""
    must_have_media(saved)
    without_caption = rows_without_caption(saved)
    index, counts = make_folder(out) / "opensora.csv", {"clips": 0, "images": 0}
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, COLUMNS)
    table.writeheader()
    for config in saved.configs:
        for path, row in written_rows(saved, config, out / config):
            table.writerow(_csv_row(path, row))
            counts[config] += 1
    write_whole(index, text.getvalue().encode())
    return Exported(index, counts["clips"], counts["images"], without_caption)


def _csv_row(path: Path, row: Mapping[str, Any]) -> dict[str, object]:
    same = {name: row[name] for name in ("height", "width", "aspect_ratio", "resolution")}
    return {
        "path": path.resolve(),
        "text": row["caption"],
        "num_frames": row.get("num_frames", 1),
        "fps": row.get("fps", IMAGE_FPS),
        **same,
    }
