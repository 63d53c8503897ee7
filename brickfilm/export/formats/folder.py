"""A folder for people and for anything else: clips, images, texts and `metadata.jsonl`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brickfilm.export.base import ExportedFile
from brickfilm.export.config_files import write_jsonl
from brickfilm.export.frame_rules import first, rate
from brickfilm.export.prediction import Prediction, Seen
from brickfilm.export.rows import ExportRow
from brickfilm.export.trainer_format import TrainerFormat, caption_files, relative


@dataclass(frozen=True)
class Folder(TrainerFormat):
    """Keeps every frame; `metadata.jsonl` is also what `datasets` reads as a VideoFolder."""

    name = "folder"
    configs = ("clips", "images")

    def predict(self, row: ExportRow) -> Prediction:
        return Seen(first(row.frames), row.fps, row.height, row.width)

    def folder(self, row: ExportRow, seen: Seen) -> str:
        return row.config

    def write(self, files: Sequence[ExportedFile], out: Path) -> Path:
        caption_files(files)
        rows = [
            {
                "file_name": relative(file, out),
                "caption": file.row.caption,
                "num_frames": file.row.frames,
                "fps": rate(file.row.fps),
                "width": file.row.width,
                "height": file.row.height,
            }
            for file in files
        ]
        return write_jsonl(out / "metadata.jsonl", rows)
