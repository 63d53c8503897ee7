"""NeMo Automodel (DFM): a folder of clips with `meta.json`, and options of its preparation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brickfilm.export.base import ExportedFile
from brickfilm.export.config_files import write_args, write_json
from brickfilm.export.prediction import Prediction
from brickfilm.export.rows import ExportRow
from brickfilm.export.trainer_format import TrainerFormat

COMMENT = "Options of prepare_dataset_wan.py of NeMo DFM, run in this folder."


@dataclass(frozen=True)
class Nemo(TrainerFormat):
    """Encodes each clip from `start_frame` to `end_frame`: here the longest length that it fills.

    Rules: the page 'Diffusion Dataset Preparation' of NeMo Automodel. Its example ends at 121,
    which is 4n+1 as a number of frames, so `end_frame` is taken to be exclusive.
    """

    name = "nemo"
    models = ("wan2.1", "hunyuanvideo")

    def predict(self, row: ExportRow) -> Prediction:
        length = self.target.longest(row.frames)
        return self.too_short(self.target.lengths[0]) if length is None else self.head(row, length)

    def write(self, files: Sequence[ExportedFile], out: Path) -> Path:
        rows = [
            {
                "file_name": file.path.name,
                "width": file.row.width,
                "height": file.row.height,
                "start_frame": 0,
                "end_frame": len(file.seen.frames),
                "vila_caption": file.row.caption,
            }
            for file in files
        ]
        write_json(out / self.media_folder / "meta.json", rows)
        options = {
            "video_folder": self.media_folder,
            "output_folder": "processed_meta",
            "output_format": "automodel",
            "mode": "video",
            "height": self.target.height,
            "width": self.target.width,
            "center-crop": "",
        }
        return write_args(out / "prepare_options.txt", options, COMMENT)
