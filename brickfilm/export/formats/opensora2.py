"""Open-Sora 2: a CSV with all eight columns, and the data half of its training config."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from brickfilm.export.base import ExportedFile
from brickfilm.export.config_files import write_csv, write_text
from brickfilm.export.frame_rules import linspace_float64, rate
from brickfilm.export.prediction import Dropped, Prediction, Seen
from brickfilm.export.rows import ExportRow
from brickfilm.export.trainer_format import TrainerFormat, relative

RESOLUTION = "256px"
PIXELS = 256 * 256
MIN_PIXEL_SHARE = 0.8
ALIGNMENT = 16
ASPECTS = ("2.39:1", "2:1", "16:9", "1.85:1", "9:16", "5:8", "3:2", "4:3", "1:1")
"""Width to height, each also upright (opensora/datasets/aspect.py)."""


@dataclass(frozen=True)
class OpenSora2(TrainerFormat):
    """Reads a random window at a whole frame interval, and says the rate in the text.

    Rules: opensora/datasets/bucket.py, utils.py (`map_target_fps`, `temporal_random_crop`),
    aspect.py. The interval is ceil(fps / fps_max): with the class's default of 16, 24 fps becomes
    12 and 30 becomes 15. The config written here takes `fps_max` = 24, as its own image.py does.
    """

    fps_max: int = 24

    name = "opensora2"
    models = ("opensora2",)
    configs = ("clips", "images")

    def source_frames(self, frames: int, fps: Fraction) -> int:
        return frames * self._interval(fps) + self.spare_frames

    def predict(self, row: ExportRow) -> Prediction:
        if row.width * row.height < MIN_PIXEL_SHARE * PIXELS:
            return Dropped(f"smaller than 80 % of the pixels of {RESOLUTION}")
        width, height = _nearest_size(row.width, row.height)
        if row.fps is None:
            return Seen((0,), None, height, width)
        interval = self._interval(row.fps)
        length = self.target.longest(row.frames // interval)
        if length is None:
            return self.too_short(self.target.lengths[0] * interval)
        window = length * interval
        frames = linspace_float64(0, window - 1, length)
        fps = row.fps if interval == 1 else Fraction(math.floor(rate(row.fps) / interval))
        return Seen(frames, fps, height, width, last_start=row.frames - window)

    def folder(self, row: ExportRow, seen: Seen) -> str:
        return "images" if row.is_image else "videos"

    def write(self, files: Sequence[ExportedFile], out: Path) -> Path:
        write_csv(out / "opensora2.csv", [_csv_row(file, out) for file in files])
        lengths = [1] * any(file.row.is_image for file in files) + list(self.target.lengths)
        buckets = "".join(f"        {n}: (1.0, 1),\n" for n in lengths)
        config = (
            "# The data of a training config: paths are relative to the working directory.\n"
            "dataset = dict(\n"
            '    type="video_text",\n'
            '    data_path="opensora2.csv",\n'
            '    transform_name="resize_crop",\n'
            f"    fps_max={self.fps_max},\n"
            ")\n"
            f'bucket_config = {{\n    "{RESOLUTION}": {{\n{buckets}    }},\n}}\n'
        )
        return write_text(out / "data_config.py", config)

    def _interval(self, fps: Fraction) -> int:
        return 1 if rate(fps) < self.fps_max else math.ceil(rate(fps) / self.fps_max)


def _csv_row(file: ExportedFile, out: Path) -> dict[str, object]:
    row = file.row
    return {
        "path": relative(file, out),
        "text": row.caption,
        "num_frames": row.frames,
        "height": row.height,
        "width": row.width,
        "aspect_ratio": row.height / row.width,
        "resolution": row.height * row.width,
        "fps": rate(row.fps),
    }


def _nearest_size(width: int, height: int) -> tuple[int, int]:
    """Return the (width, height) of the bucket whose height / width is nearest."""
    aspect = height / width
    return min(_sizes(), key=lambda entry: abs(aspect - entry[0]))[1]


def _sizes() -> Iterator[tuple[float, tuple[int, int]]]:
    """Yield (height / width as named, (width, height)) of all buckets, upright ones last."""
    seen: set[tuple[int, int]] = set()
    kept = []
    for name in ASPECTS:
        across, down = (float(number) for number in name.split(":"))
        size = _fit(across / down)
        if size not in seen:
            seen.add(size)
            kept.append((across, down, size))
    yield from ((down / across, size) for across, down, size in kept)
    yield from ((across / down, size[::-1]) for across, down, size in kept)


def _fit(aspect: float) -> tuple[int, int]:
    """Return the (width, height) on the grid of 16 whose area is nearest to 256²."""
    width = int(math.sqrt(PIXELS * aspect) // ALIGNMENT) * ALIGNMENT
    height = int(PIXELS / width // ALIGNMENT) * ALIGNMENT
    near = [(width, height), *((width + dx, height + dy) for dx, dy in _STEPS)]
    return min(near, key=lambda size: abs(size[0] * size[1] - PIXELS))


_STEPS = ((0, -ALIGNMENT), (0, ALIGNMENT), (-ALIGNMENT, 0), (ALIGNMENT, 0))
