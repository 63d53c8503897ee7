"""Open-Sora 1.x: a CSV of paths and captions, beside the clips and images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brickfilm.export.base import ExportedFile
from brickfilm.export.config_files import write_csv
from brickfilm.export.frame_rules import first, rate
from brickfilm.export.prediction import Prediction, Seen
from brickfilm.export.rows import ExportRow
from brickfilm.export.trainer_format import TrainerFormat

IMAGE_FPS = 120
"""Frame rate that Open-Sora gives its network for images."""


@dataclass(frozen=True)
class OpenSora(TrainerFormat):
    """Write `clips/`, `images/` and `opensora.csv`, whose paths are absolute.

    The trainer's buckets choose among all rows; `brickfilm export --for RECIPE` counts those.
    """

    name = "opensora"
    configs = ("clips", "images")

    def predict(self, row: ExportRow) -> Prediction:
        """Return the whole clip: buckets and frame interval are the recipe's."""
        return Seen(first(row.frames), row.fps, row.height, row.width)

    def folder(self, row: ExportRow, seen: Seen) -> str:
        return row.config

    def write(self, files: Sequence[ExportedFile], out: Path) -> Path:
        return write_csv(out / "opensora.csv", [_csv_row(file) for file in files])


def _csv_row(file: ExportedFile) -> dict[str, object]:
    row = file.row
    return {
        "path": file.path.resolve(),
        "text": row.caption,
        "num_frames": row.frames,
        "height": row.height,
        "width": row.width,
        "aspect_ratio": row.height / row.width,
        "fps": IMAGE_FPS if row.is_image else rate(row.fps),
        "resolution": row.height * row.width,
    }
