"""A second export format, in one file: pairs of a clip and a text, for a model at 16 fps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

from brickfilm.errors import UsageError
from brickfilm.export import Dropped, ExportedFile, ExportRow, Prediction, Seen
from brickfilm.export.media_files import write_file


@dataclass(frozen=True)
class ToyExporter:
    """Reads the first `frames` frames of a clip at every second one; images are left out."""

    frames: int = 9
    name = "toy"
    media_folders = MappingProxyType({"clips": "videos"})

    def check(self, rows: Sequence[ExportRow]) -> None:
        if self.frames % 8 != 1:
            raise UsageError(f"frames = {self.frames} is not on the grid 8n+1: take 9 or 17")

    def predict(self, row: ExportRow) -> Prediction:
        frames = tuple(range(0, row.frames, 2))[: self.frames]
        if len(frames) < self.frames:
            return Dropped(f"fewer than {self.frames * 2 - 1} frames")
        return Seen(frames, Fraction(24), row.height, row.width)

    def write(self, files: Sequence[ExportedFile], out: Path) -> Path:
        for file in files:
            write_file(file.path.with_suffix(".txt"), file.row.caption.encode())
        write_file(out / "index.txt", "\n".join(file.path.name for file in files).encode())
        return out / "index.txt"
