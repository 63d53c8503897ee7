"""Open-Sora 1.x: a CSV of paths and captions, beside the clips and images."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from brickfilm.export.base import ExportedFile
from brickfilm.export.media_files import write_file
from brickfilm.export.prediction import Prediction, Seen
from brickfilm.export.rows import ExportRow

CSV_COLUMNS = ("path", "text", "num_frames", "height", "width", "aspect_ratio", "fps", "resolution")
IMAGE_FPS = 120
"""Frame rate that Open-Sora gives its network for images."""


@dataclass(frozen=True)
class OpenSora:
    """Write `clips/`, `images/` and `opensora.csv`, whose paths are absolute.

    The trainer's buckets choose among all rows; `brickfilm export --for RECIPE` counts those.
    """

    name = "opensora"
    media_folders = MappingProxyType({"clips": "clips", "images": "images"})

    def check(self, rows: Sequence[ExportRow]) -> None:
        """Accept all rows: Open-Sora 1.x has no rule of its own."""

    def predict(self, row: ExportRow) -> Prediction:
        """Return the whole clip: buckets and frame interval are the recipe's."""
        return Seen(tuple(range(row.frames)), row.fps, row.height, row.width)

    def write(self, files: Sequence[ExportedFile], out: Path) -> Path:
        text = io.StringIO(newline="")
        table = csv.DictWriter(text, CSV_COLUMNS)
        table.writeheader()
        table.writerows(_csv_row(file) for file in files)
        write_file(out / "opensora.csv", text.getvalue().encode())
        return out / "opensora.csv"


def _csv_row(file: ExportedFile) -> dict[str, object]:
    row = file.row.columns
    same = {name: row[name] for name in ("height", "width", "aspect_ratio", "resolution")}
    return {
        "path": file.path.resolve(),
        "text": file.row.caption,
        "num_frames": file.row.frames,
        "fps": row.get("fps", IMAGE_FPS),
        **same,
    }
