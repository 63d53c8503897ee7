"""Cosmos-Predict 2.5: `videos/`, `metas/`, and the dataset of its training config."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brickfilm.export.base import ExportedFile
from brickfilm.export.config_files import write_text
from brickfilm.export.frame_rules import first
from brickfilm.export.prediction import Prediction, Seen
from brickfilm.export.rows import ExportRow
from brickfilm.export.trainer_format import TrainerFormat
from brickfilm.files import make_folder


@dataclass(frozen=True)
class CosmosPredict(TrainerFormat):
    """Reads a random window of 93 frames; the rate is read from the file.

    Rules: cosmos_predict2/_src/predict2/datasets/local_datasets/dataset_video.py. A clip of exactly
    93 frames fails there (`randint(0, 0)`), and another clip is taken in its place without a word:
    94 frames are the least. The last frame of a clip is never read.
    """

    name = "cosmos-predict2.5"
    has_one_length = True
    models = ("cosmos-predict2.5",)

    def predict(self, row: ExportRow) -> Prediction:
        needed = self.target.frames + 1
        if row.frames < needed:
            return self.too_short(needed)
        last = row.frames - needed
        size = self.target.height, self.target.width
        return Seen(first(self.target.frames), row.fps, *size, last_start=last)

    def write(self, files: Sequence[ExportedFile], out: Path) -> Path:
        make_folder(out / "metas")
        for file in files:
            write_text(out / "metas" / f"{file.row.stem}.txt", file.row.caption)
        config = (
            "# The dataset of an experiment: copy it there. Paths are relative to the working "
            "directory.\n"
            "# Class: cosmos_predict2._src.predict2.datasets.local_datasets.dataset_video\n"
            "dataset = dict(\n"
            '    dataset_dir=".",\n'
            f"    num_frames={self.target.frames},\n"
            f"    video_size=({self.target.height}, {self.target.width}),\n"
            ")\n"
        )
        return write_text(out / "dataset_config.py", config)
