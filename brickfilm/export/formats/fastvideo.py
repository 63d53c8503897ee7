"""FastVideo: `videos/` and `videos2caption.json` with the rates that its page leaves out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from brickfilm.export.base import ExportedFile
from brickfilm.export.config_files import write_args, write_json
from brickfilm.export.frame_rules import arange_by_rate, rate
from brickfilm.export.prediction import Dropped, Prediction, Seen
from brickfilm.export.rows import ExportRow
from brickfilm.export.trainer_format import TrainerFormat

LENGTH_TOLERANCE = 5
"""Clips that last longer than this many times the target are dropped (its default)."""
COMMENT = "Options of fastvideo.pipelines.preprocess.v1_preprocessing_new, run in this folder."


@dataclass(frozen=True)
class FastVideo(TrainerFormat):
    """Takes frames at the model's rate, from the start, and keeps short clips at any length.

    Rules: fastvideo/workflow/preprocess/components.py (validator), pipelines/preprocess/
    preprocess_stages.py. `path` and `cap` alone, as its page shows, fail with KeyError 'fps'. A
    clip shorter than the target would reach the VAE off its grid: it is left out here.
    """

    name = "fastvideo"
    has_one_length = True
    resamples = True
    models = ("wan2.1", "wan2.2", "hunyuanvideo", "ltx-2", "cosmos-predict2.5")

    def predict(self, row: ExportRow) -> Prediction:
        model, fps = self.target.model, rate(row.fps)
        if row.frames / fps > LENGTH_TOLERANCE * (self.target.frames / model.fps):
            seconds = LENGTH_TOLERANCE * self.target.frames / model.fps
            return Dropped(f"longer than {seconds:g} s, {LENGTH_TOLERANCE} times the target")
        frames = arange_by_rate(row.frames, fps / model.fps)[: self.target.frames]
        if len(frames) < self.target.frames:
            return self.too_short(self.target.frames, f"frames at {model.fps} fps")
        return Seen(frames, Fraction(model.fps), self.target.height, self.target.width)

    def write(self, files: Sequence[ExportedFile], out: Path) -> Path:
        rows = [
            {
                "path": file.path.name,
                "cap": file.row.caption,
                "fps": rate(file.row.fps),
                "num_frames": file.row.frames,
                "resolution": {"width": file.row.width, "height": file.row.height},
            }
            for file in files
        ]
        write_json(out / "videos2caption.json", rows)
        options = {
            "preprocess.dataset_type": "merged",
            "preprocess.dataset_path": ".",
            "preprocess.max_height": self.target.height,
            "preprocess.max_width": self.target.width,
            "preprocess.num_frames": self.target.frames,
            "preprocess.train_fps": self.target.model.fps,
            "preprocess.video_length_tolerance_range": LENGTH_TOLERANCE,
        }
        return write_args(out / "preprocess_options.txt", options, COMMENT)
