"""ltx-trainer (Lightricks): `dataset.json`, and the options of its `process_dataset.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brickfilm.export.base import ExportedFile
from brickfilm.export.config_files import write_args, write_json
from brickfilm.export.frame_rules import first
from brickfilm.export.prediction import Prediction, Seen
from brickfilm.export.rows import ExportRow
from brickfilm.export.trainer_format import TrainerFormat, relative

COMMENT = """Options of packages/ltx-trainer/scripts/process_dataset.py dataset.json, run in this
folder; add --model-path and --text-encoder-path. With several buckets
optimization.batch_size must be 1."""


@dataclass(frozen=True)
class LtxTrainer(TrainerFormat):
    """Reads the first frames of the bucket whose aspect is nearest; the clip's rate is kept.

    Rules: packages/ltx-trainer/scripts/process_videos.py. It leaves out clips shorter than the
    shortest bucket, and the rate is a condition of the model, so that speed is true.
    """

    name = "ltx-trainer"
    models = ("ltx-2",)
    configs = ("clips", "images")

    def predict(self, row: ExportRow) -> Prediction:
        width, height = self.target.nearest_size(row.width, row.height)
        if row.is_image:
            return Seen((0,), None, height, width)
        length = self.target.longest(row.frames)
        if length is None:
            return self.too_short(self.target.lengths[0])
        return Seen(first(length), row.fps, height, width)

    def folder(self, row: ExportRow, seen: Seen) -> str:
        return "images" if row.is_image else "videos"

    def write(self, files: Sequence[ExportedFile], out: Path) -> Path:
        rows = [{"caption": file.row.caption, "video": relative(file, out)} for file in files]
        lengths = [1] * any(file.row.is_image for file in files) + list(self.target.lengths)
        buckets = ";".join(f"{w}x{h}x{n}" for w, h in self.target.sizes for n in lengths)
        write_args(out / "process_options.txt", {"resolution-buckets": f'"{buckets}"'}, COMMENT)
        return write_json(out / "dataset.json", rows)
