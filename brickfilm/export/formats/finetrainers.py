"""finetrainers: pairs of clip and text in one folder, and its `training.json`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from brickfilm.export.base import ExportedFile
from brickfilm.export.config_files import write_json
from brickfilm.export.frame_rules import first, linspace_float32
from brickfilm.export.prediction import Prediction, Seen
from brickfilm.export.rows import ExportRow
from brickfilm.export.trainer_format import TrainerFormat, caption_files


@dataclass(frozen=True)
class FineTrainers(TrainerFormat):
    """Spreads the frames of the longest bucket that fits over the whole clip, which speeds it up.

    Rules: finetrainers/functional/video.py (`resize_to_nearest_bucket_video`), data/dataset.py. A
    clip shorter than all buckets is kept as it is and breaks its batch: it is left out here. Cut
    clips have no frame to spare, since it would be spread as well.
    """

    name = "finetrainers"
    models = ("wan2.1", "ltx-0.9", "hunyuanvideo", "cogvideox")
    spare_frames = 0

    def predict(self, row: ExportRow) -> Prediction:
        length = self.target.longest(row.frames)
        if length is None:
            return self.too_short(self.target.lengths[0])
        spread = linspace_float32(row.frames - 1, length) if row.frames > length else first(length)
        width, height = self._size(row)
        return Seen(spread, Fraction(self.target.model.fps), height, width)

    def _size(self, row: ExportRow) -> tuple[int, int]:
        """Return the bucket size of the nearest width / height; of equal ones the higher."""
        aspect = row.width / row.height
        return min(self.target.sizes, key=lambda s: (abs(s[0] / s[1] - aspect), -s[1], -s[0]))

    def write(self, files: Sequence[ExportedFile], out: Path) -> Path:
        caption_files(files)
        buckets = [[n, h, w] for n in self.target.lengths for w, h in self.target.sizes]
        entry = {
            "data_root": self.media_folder,
            "dataset_type": "video",
            "video_resolution_buckets": buckets,
            "reshape_mode": "resize_crop",
        }
        return write_json(out / "training.json", {"datasets": [entry]})
