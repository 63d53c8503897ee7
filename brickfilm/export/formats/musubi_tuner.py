"""musubi-tuner: a folder for each rate and length, captions beside, and its `dataset.toml`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from brickfilm.export.base import ExportedFile
from brickfilm.export.config_files import write_toml
from brickfilm.export.frame_rules import accepted_by_rate, first, rate
from brickfilm.export.prediction import Prediction, Seen
from brickfilm.export.rows import ExportRow
from brickfilm.export.trainer_format import TrainerFormat, caption_files

COMMENT = """Paths are relative: start musubi-tuner with this folder as the working directory.
source_fps is a float, and stands only where clips are faster than the model: musubi-tuner drops
frames to reach the model's rate, but repeats none."""


@dataclass(frozen=True)
class MusubiTuner(TrainerFormat):
    """Reads the head of each clip; clips faster than the model lose frames.

    Rules: src/musubi_tuner/dataset/media_utils.py (`load_video`), image_video_dataset.py
    (`VideoDataset`), bucket.py. With several `target_frames` a long clip would become one item for
    each, so every rate and length has a dataset of its own.
    """

    name = "musubi-tuner"
    resamples = True
    models = ("wan2.1", "wan2.2", "hunyuanvideo", "hunyuanvideo-1.5", "kandinsky5")
    configs = ("clips", "images")

    def source_frames(self, frames: int, fps: Fraction) -> int:
        faster = max(Fraction(1), fps / self.target.model.fps)
        return math.ceil(frames * faster) + self.spare_frames

    def predict(self, row: ExportRow) -> Prediction:
        width, height = _bucket(self.target.width, self.target.height, row.width, row.height)
        if row.is_image:
            return Seen((0,), None, height, width)
        frames = first(row.frames)
        if self._drops_frames(row):
            frames = accepted_by_rate(row.frames, self.target.model.fps / rate(row.fps))
        length = self.target.longest(len(frames))
        if length is None:
            return self.too_short(self.target.lengths[0], f"frames at {self.target.model.fps} fps")
        return Seen(frames[:length], Fraction(self.target.model.fps), height, width)

    def folder(self, row: ExportRow, seen: Seen) -> str:
        if row.is_image:
            return "images"
        return f"videos/{rate(row.fps):g}fps-{len(seen.frames)}f".replace(".", "_")

    def write(self, files: Sequence[ExportedFile], out: Path) -> Path:
        caption_files(files)
        general = {
            "resolution": [self.target.width, self.target.height],
            "caption_extension": ".txt",
            "batch_size": 1,
            "enable_bucket": True,
        }
        by_folder = {file.path.parent: file for file in files}
        datasets = [self._dataset(folder, file, out) for folder, file in by_folder.items()]
        tables = {"datasets": [{**general, **dataset} for dataset in datasets]}
        return write_toml(out / "dataset.toml", {}, tables, COMMENT)

    def _dataset(self, folder: Path, file: ExportedFile, out: Path) -> dict[str, Any]:
        """Return the table of a folder, of which `file` is one: all have its rate and length."""
        name = folder.relative_to(out).as_posix()
        cache = {"cache_directory": f"cache/{name}"}
        if file.row.is_image:
            return {"image_directory": name, **cache}
        table: dict[str, Any] = {"video_directory": name, **cache}
        table |= {"target_frames": [len(file.seen.frames)], "frame_extraction": "head"}
        if self._drops_frames(file.row):
            table["source_fps"] = rate(file.row.fps)
        return table

    def _drops_frames(self, row: ExportRow) -> bool:
        return rate(row.fps) > self.target.model.fps


def _bucket(target_width: int, target_height: int, width: int, height: int) -> tuple[int, int]:
    """Return the (width, height) of musubi's bucket of the nearest aspect, in steps of 16."""
    area = target_width * target_height
    side = math.isqrt(area)
    smallest = side // 2 // 16 * 16
    sizes = set()
    for across in range(smallest, side + 16, 16):
        down = area // across // 16 * 16
        sizes |= {(across, down), (down, across)}
    return min(sorted(sizes), key=lambda size: abs(size[0] / size[1] - width / height))
