"""DiffSynth-Studio: `metadata.csv` beside the clips, and the options of its training script."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from brickfilm.export.base import ExportedFile
from brickfilm.export.config_files import write_args, write_csv
from brickfilm.export.frame_rules import first, rate, rounded_by_time
from brickfilm.export.prediction import Dropped, Prediction, Seen
from brickfilm.export.rows import ExportRow
from brickfilm.export.trainer_format import TrainerFormat, relative

FIXED_RATE = ("ltx-2",)
"""Models whose examples/*/train.py sets `fix_frame_rate=True`; Wan's reads frames as they come."""
COMMENT = (
    "Options of examples/*/model_training/train.py, run with this folder as working directory."
)


@dataclass(frozen=True)
class DiffSynth(TrainerFormat):
    """Reads the first frames; a shorter clip is cut to the model's grid, in a batch of one.

    Rules: diffsynth/core/data/operators.py (`FrameSamplerByRateMixin`). At a fixed rate the length
    comes from the container's duration, which FFmpeg prints in hundredths of a second.
    """

    name = "diffsynth"
    models = ("wan2.1", "wan2.2", "wan2.2-5b", "ltx-2")
    configs = ("clips", "images")

    @property
    def resamples(self) -> bool:  # type: ignore[override]
        return self.target.model.name in FIXED_RATE

    def predict(self, row: ExportRow) -> Prediction:
        if row.is_image:
            return Seen((0,), None, self.target.height, self.target.width)
        model, available = self.target.model, row.frames
        if self.resamples:
            available = math.floor(math.floor(row.seconds * 100 + 0.5) / 100 * model.fps)
        if available < 1:
            return Dropped("DiffSynth would read 0 frames of it at a fixed rate")
        length = min(self.target.frames, model.round_down(available))
        if length == 1:
            return self.too_short(model.step + 1)
        frames = first(length)
        if self.resamples:
            frames = rounded_by_time(length, model.fps, rate(row.fps), row.frames - 1)
        return Seen(frames, Fraction(model.fps), self.target.height, self.target.width)

    def folder(self, row: ExportRow, seen: Seen) -> str:
        return "images" if row.is_image else "videos"

    def write(self, files: Sequence[ExportedFile], out: Path) -> Path:
        rows = [{"video": relative(file, out), "prompt": file.row.caption} for file in files]
        write_csv(out / "metadata.csv", rows)
        options = {
            "dataset_base_path": ".",
            "dataset_metadata_path": "metadata.csv",
            "data_file_keys": "video",
            "num_frames": self.target.frames,
            "height": self.target.height,
            "width": self.target.width,
        }
        if self.resamples:
            options["frame_rate"] = self.target.model.fps
        return write_args(out / "train_options.txt", options, COMMENT)
