"""VideoX-Fun: `metadata.json` beside clips and images, and the options of its training script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from brickfilm.export.base import ExportedFile
from brickfilm.export.config_files import write_args, write_json
from brickfilm.export.frame_rules import linspace_float64
from brickfilm.export.prediction import Prediction, Seen
from brickfilm.export.rows import ExportRow
from brickfilm.export.trainer_format import TrainerFormat, relative

STRIDE = 1
"""Its scripts say 2, which halves the rate: 24 fps would play 1.33 times as fast at 16."""
COMMENT = """Options of scripts/wan2.1/train_lora.py and its like, run in this folder.
Buckets keep the aspect of a clip, at the area of video_sample_size squared."""


@dataclass(frozen=True)
class VideoXFun(TrainerFormat):
    """Reads a window at a random start, as long as the clip allows, cut to the model's grid.

    Rules: videox_fun/data/dataset_image_video.py (`ImageVideoDataset.get_batch`), the collate
    function of scripts/*/train_lora.py (4n+1). Without `type` a clip is taken for an image.
    """

    name = "videox-fun"
    models = ("wan2.1", "wan2.2", "wan2.2-5b", "cogvideox", "ltx-2", "hunyuanvideo")
    configs = ("clips", "images")

    def predict(self, row: ExportRow) -> Prediction:
        if row.is_image:
            return Seen((0,), None, row.height, row.width)
        count = min(self.target.frames, row.frames // STRIDE)
        window = min(row.frames, (count - 1) * STRIDE + 1)
        length = self.target.model.round_down(count)
        if length <= 1:
            return self.too_short(self.target.model.step + 1)
        frames = linspace_float64(0, window - 1, count)[:length]
        fps = Fraction(self.target.model.fps)
        return Seen(frames, fps, row.height, row.width, last_start=row.frames - window)

    def folder(self, row: ExportRow, seen: Seen) -> str:
        return "images" if row.is_image else "videos"

    def write(self, files: Sequence[ExportedFile], out: Path) -> Path:
        rows = [
            {
                "file_path": relative(file, out),
                "text": file.row.caption,
                "type": "image" if file.row.is_image else "video",
                "width": file.row.width,
                "height": file.row.height,
            }
            for file in files
        ]
        write_json(out / "metadata.json", rows)
        options = {
            "train_data_dir": ".",
            "train_data_meta": "metadata.json",
            "video_sample_size": self.target.square_side,
            "image_sample_size": self.target.square_side,
            "video_sample_n_frames": self.target.frames,
            "video_sample_stride": STRIDE,
            "enable_bucket": "",
        }
        return write_args(out / "train_options.txt", options, COMMENT)
