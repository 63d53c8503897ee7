"""Hold what most formats share: clips in one folder, a caption beside each, one frame to spare."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

from brickfilm.export.base import ExportedFile
from brickfilm.export.config_files import write_captions
from brickfilm.export.prediction import Dropped, Prediction, Seen
from brickfilm.export.rows import ExportRow
from brickfilm.export.target import Target
from brickfilm.schema.target_models import target_models
from brickfilm.schema.training_lengths import TrainingLengths


@dataclass(frozen=True)
class TrainerFormat(ABC):
    """Defaults of an exporter; a format overrides what its trainer does otherwise."""

    target: Target

    name: ClassVar[str] = ""
    models: ClassVar[Sequence[str]] = tuple(target_models())
    configs: ClassVar[Sequence[str]] = ("clips",)
    media_folder: ClassVar[str] = "videos"
    resamples: ClassVar[bool] = False
    """The trainer brings clips to the model's rate; otherwise it takes frames as they come."""
    has_one_length: ClassVar[bool] = False
    """The trainer reads `target.frames` of each clip, and no other length."""
    spare_frames: ClassVar[int] = 1
    """Frames over the length read: decoders and containers disagree about the last one."""

    @property
    def takes_any_model(self) -> bool:
        """Return True for formats that keep every frame, for any model."""
        return list(self.models) == list(target_models())

    @abstractmethod
    def predict(self, row: ExportRow) -> Prediction:
        """Return what the trainer reads of a row, or why it drops the row."""

    @abstractmethod
    def write(self, files: Sequence[ExportedFile], out: Path) -> Path:
        """Write captions, tables and the trainer's config; return the file to pass to it."""

    def source_frames(self, frames: int, fps: Fraction) -> int:
        """Return the length to cut to, with a frame to spare."""
        ratio = fps / self.target.model.fps if self.resamples else Fraction(1)
        return math.ceil(frames * ratio) + self.spare_frames

    @property
    def training_lengths(self) -> TrainingLengths:
        """Return the lengths of clips that it can use, for `SceneSplitter(for_training=...)`."""
        lengths = (self.target.frames,) if self.has_one_length else self.target.lengths
        fps = self.target.model.fps if self.resamples else None
        return TrainingLengths(lengths, fps, self.spare_frames, self.name)

    def check(self, rows: Sequence[ExportRow]) -> None:
        """Accept all rows."""
        return

    def folder(self, row: ExportRow, seen: Seen) -> str:
        """Return the folder of all media."""
        return self.media_folder

    def head(self, row: ExportRow, count: int) -> Seen:
        """Return the first frames of a row, played at the model's rate, at the target's size."""
        width, height = self.target.width, self.target.height
        return Seen(tuple(range(count)), Fraction(self.target.model.fps), height, width)

    def too_short(self, needed: int, unit: str = "frames") -> Dropped:
        """Return the reason of a clip that is shorter than the trainer reads."""
        return Dropped(f"fewer than {needed} {unit}")


def caption_files(files: Sequence[ExportedFile]) -> None:
    """Write the captions of files beside them."""
    write_captions({file.path: file.row.caption for file in files})


def relative(file: ExportedFile, folder: Path) -> str:
    """Return the path of a file below a folder, with forward slashes."""
    return file.path.relative_to(folder).as_posix()
