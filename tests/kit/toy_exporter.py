"""A second export format, in one file: pairs of a clip and a text, for a model at 16 fps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from brickfilm.errors import UsageError
from brickfilm.export import Dropped, ExportedFile, ExportRow, Prediction, Seen, TrainerFormat
from brickfilm.export.media_files import write_file
from brickfilm.export.trainer_format import caption_files


@dataclass(frozen=True)
class ToyExporter(TrainerFormat):
    """Reads the first frames of a clip, every second one; images are left out."""

    name = "toy"

    def check(self, rows: Sequence[ExportRow]) -> None:
        if self.target.frames % 8 != 1:
            raise UsageError(f"frames = {self.target.frames} is not on 8n+1: take 9 or 17")

    def predict(self, row: ExportRow) -> Prediction:
        frames = tuple(range(0, row.frames, 2))[: self.target.frames]
        if len(frames) < self.target.frames:
            return Dropped(f"fewer than {self.target.frames * 2 - 1} frames")
        return Seen(frames, Fraction(24), row.height, row.width)

    def source_frames(self, frames: int, fps: Fraction) -> int:
        return 2 * frames - 1

    def write(self, files: Sequence[ExportedFile], out: Path) -> Path:
        caption_files(files)
        write_file(out / "index.txt", "\n".join(file.path.name for file in files).encode())
        return out / "index.txt"
