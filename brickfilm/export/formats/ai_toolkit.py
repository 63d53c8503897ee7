"""ai-toolkit: a folder of clips with captions, and the `datasets` of its config in YAML."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

from brickfilm.export.base import ExportedFile
from brickfilm.export.config_files import write_yaml
from brickfilm.export.frame_rules import rate, rounded_by_rate
from brickfilm.export.prediction import Prediction, Seen
from brickfilm.export.rows import ExportRow
from brickfilm.export.trainer_format import TrainerFormat, caption_files

COMMENT = """Put these entries under config.process[0].datasets. Paths are relative: start
ai-toolkit with this folder as the working directory.
By default ai-toolkit spreads num_frames over the whole clip (shrink_video_to_frames), which speeds
up all motion. auto_frame_count with trim_auto_frame_count_tail keeps the true speed."""


@dataclass(frozen=True)
class AiToolkit(TrainerFormat):
    """Reads frames from the start at the model's rate, as many as fill the model's grid.

    Rules: toolkit/dataloader_mixins.py (`get_auto_frame_count`, `load_and_process_video`),
    toolkit/buckets.py. `trim_auto_frame_count_tail` needs ai-toolkit of 2026-07 or later.
    """

    name = "ai-toolkit"
    resamples = True
    models = ("wan2.1", "wan2.2", "wan2.2-5b", "ltx-2")
    configs = ("clips", "images")

    def predict(self, row: ExportRow) -> Prediction:
        model = self.target.model
        width, height = _bucket(row.width, row.height, self.target.square_side, model.multiple)
        if row.is_image:
            return Seen((0,), None, height, width)
        length = model.round_down(int(row.frames / rate(row.fps) * model.fps))
        if length <= 1:
            return self.too_short(model.step + 1, f"frames at {model.fps} fps")
        frames = rounded_by_rate(length, rate(row.fps) / model.fps, row.frames - 1)
        return Seen(frames, Fraction(model.fps), height, width)

    def folder(self, row: ExportRow, seen: Seen) -> str:
        return "images" if row.is_image else "videos"

    def write(self, files: Sequence[ExportedFile], out: Path) -> Path:
        caption_files(files)
        folders = sorted({file.path.parent.name for file in files})
        return write_yaml(
            out / "datasets.yaml", {"datasets": [self._dataset(name) for name in folders]}, COMMENT
        )

    def _dataset(self, folder: str) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "folder_path": folder,
            "caption_ext": "txt",
            "caption_dropout_rate": 0.05,
            "cache_latents_to_disk": True,
            "resolution": [self.target.square_side],
            "num_frames": 1,
        }
        if folder == "videos":
            entry |= {
                "num_frames": self.target.frames,
                "shrink_video_to_frames": False,
                "auto_frame_count": True,
                "trim_auto_frame_count_tail": True,
                "fps": self.target.model.fps,
            }
        return entry


def _bucket(width: int, height: int, side: int, multiple: int) -> tuple[int, int]:
    """Return the (width, height) in multiples of pixels with an area near, not over, side².

    A smaller clip is not scaled up.
    """
    area = min(width * height, side * side)
    scale = math.sqrt(area / (width * height)) / multiple
    sides = [(math.floor(pixels * scale), math.ceil(pixels * scale)) for pixels in (width, height)]
    near = [(x * multiple, y * multiple) for x, y in product(*sides)]
    sizes = [(x, y) for x, y in near if x and y and x * y <= side * side]
    smallest = (max(1, sides[0][0]) * multiple, max(1, sides[1][0]) * multiple)
    return min(sizes or [smallest], key=lambda size: abs(size[0] * size[1] - area))
