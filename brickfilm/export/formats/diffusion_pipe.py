"""diffusion-pipe: a flat folder of clips and images with captions, and its `dataset.toml`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from brickfilm.export.base import ExportedFile
from brickfilm.export.config_files import write_toml
from brickfilm.export.frame_rules import linspace_float32, rate
from brickfilm.export.prediction import Prediction, Seen
from brickfilm.export.rows import ExportRow
from brickfilm.export.trainer_format import TrainerFormat, caption_files

COMMENT = """Paths are relative: start diffusion-pipe with this folder as the working directory.
Without frame_buckets every clip is dropped; a clip joins the longest bucket that it fills, after it
was resampled to the model's rate. A bucket with fewer clips than the global batch is dropped."""


@dataclass(frozen=True)
class DiffusionPipe(TrainerFormat):
    """Resamples each clip to the model's rate, and reads the first frames of a bucket's length.

    Rules: utils/dataset.py (buckets), models/base.py (`convert_framerate`, `extract_clips`). A row
    without a caption is skipped, whatever the comment in examples/dataset.toml says.
    """

    name = "diffusion-pipe"
    resamples = True
    models = (
        "wan2.1",
        "wan2.2",
        "wan2.2-5b",
        "ltx-2",
        "ltx-0.9",
        "hunyuanvideo",
        "hunyuanvideo-1.5",
    )
    configs = ("clips", "images")
    media_folder = "data"

    def predict(self, row: ExportRow) -> Prediction:
        width, height = self.target.nearest_size(row.width, row.height)
        if row.is_image:
            return Seen((0,), None, height, width)
        resampled = int(row.frames * self.target.model.fps / rate(row.fps))
        length = self.target.longest(resampled)
        if length is None or length == 1:
            return self.too_short(self.target.lengths[0], f"frames at {self.target.model.fps} fps")
        frames = linspace_float32(row.frames - 1, resampled)[:length]
        return Seen(frames, Fraction(self.target.model.fps), height, width)

    def write(self, files: Sequence[ExportedFile], out: Path) -> Path:
        caption_files(files)
        settings = {
            "resolutions": [[self.target.width, self.target.height]],
            "enable_ar_bucket": True,
            "ar_buckets": [list(size) for size in self.target.sizes],
            "frame_buckets": [1, *self.target.lengths],
            "skip_empty_caption": True,
        }
        folders = {"directory": [{"path": self.media_folder, "num_repeats": 1}]}
        return write_toml(out / "dataset.toml", settings, folders, COMMENT)
