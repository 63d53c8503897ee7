"""SimpleTuner: a folder of clips with captions, and its `multidatabackend.json`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from brickfilm.errors import UsageError
from brickfilm.export.base import ExportedFile
from brickfilm.export.config_files import write_json
from brickfilm.export.frame_rules import first
from brickfilm.export.prediction import Prediction, Seen
from brickfilm.export.rows import ExportRow
from brickfilm.export.trainer_format import TrainerFormat, caption_files

STEPS = {"wan2.1": 8, "wan2.2": 8, "wan2.2-5b": 8}
"""Grid that SimpleTuner cuts to where it differs from the model's: 8n+1 for Wan as well
(helpers/models/wan/model.py `adjust_video_frames`), though 4n+1 would do."""
ALIGNMENT = 64
"""Multiple of pixels of its aspect buckets (`--aspect_bucket_alignment`)."""


@dataclass(frozen=True)
class SimpleTuner(TrainerFormat):
    """Drops clips below `min_frames`, and reads the first `num_frames`, at no rate of its own.

    Rules: helpers/metadata/backends/discovery.py, helpers/caching/vae.py, helpers/multiaspect/
    image.py (`calculate_new_size_by_pixel_area`), documentation/DATALOADER.md. Each line of a
    caption file is a caption of its own.
    """

    name = "simpletuner"
    has_one_length = True
    models = ("wan2.1", "wan2.2", "ltx-2", "ltx-0.9", "hunyuanvideo-1.5", "kandinsky5")

    @property
    def step(self) -> int:
        return STEPS.get(self.target.model.name, self.target.model.step)

    def check(self, rows: Sequence[ExportRow]) -> None:
        """Raise UsageError for a length that SimpleTuner would cut to another one."""
        kept = self.target.model.round_down(self.target.frames, self.step)
        if kept != self.target.frames:
            raise UsageError(
                f"--frames {self.target.frames}: SimpleTuner cuts {self.target.model.name} to "
                f"{self.step}n+1, here {kept}: take {kept} or {kept + self.step}"
            )

    def predict(self, row: ExportRow) -> Prediction:
        if self.target.model.round_down(row.frames, self.step) < self.target.frames:
            return self.too_short(self.target.frames)
        width, height = _pixel_area_size(row.width, row.height, self.target.square_side)
        fps = Fraction(self.target.model.fps)
        return Seen(first(self.target.frames), fps, height, width)

    def write(self, files: Sequence[ExportedFile], out: Path) -> Path:
        caption_files(files)
        return write_json(out / "multidatabackend.json", [self._videos(), _texts()])

    def _videos(self) -> dict[str, Any]:
        return {
            "id": "brickfilm",
            "type": "local",
            "dataset_type": "video",
            "instance_data_dir": self.media_folder,
            "caption_strategy": "textfile",
            "metadata_backend": "discovery",
            "cache_dir_vae": "cache/vae",
            "crop": True,
            "crop_aspect": "preserve",
            "crop_style": "center",
            "resolution": self.target.square_side,
            "resolution_type": "pixel_area",
            "minimum_image_size": 0,
            "repeats": 0,
            "video": {
                "num_frames": self.target.frames,
                "min_frames": self.target.frames,
                "is_i2v": False,
                "bucket_strategy": "aspect_ratio",
            },
        }


def _texts() -> dict[str, Any]:
    return {
        "id": "text-embeds",
        "type": "local",
        "dataset_type": "text_embeds",
        "default": True,
        "cache_dir": "cache/text",
    }


def _pixel_area_size(width: int, height: int, side: int) -> tuple[int, int]:
    """Return the (width, height) in multiples of 64 pixels of about side² pixels."""
    edge = _nearest(side)
    aspect = round(width / height, 2)
    if width == height:
        return edge, edge
    return _nearest(edge * math.sqrt(aspect)), _nearest(edge / math.sqrt(aspect))


def _nearest(pixels: float) -> int:
    return max(ALIGNMENT, round(pixels / ALIGNMENT) * ALIGNMENT)
