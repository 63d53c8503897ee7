"""Rows of a dataset as exporters see them: captioned clips and images, without their media."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from hashlib import sha256
from typing import Any

from brickfilm.dataset.reader import MEDIA_SUFFIX, SavedDataset
from brickfilm.dataset.required_columns import require_columns, require_rows
from brickfilm.errors import UsageError
from brickfilm.schema.columns import MEDIA_COLUMN

SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
"""Names that every trainer's file patterns accept, and that lead out of no folder."""


@dataclass(frozen=True, kw_only=True)
class Recut:
    """Describe a new cut of a clip: its frames, rate, crop and size."""

    frames: tuple[int, ...]
    """Frames of the dataset's clip, in the order of the new one; a frame may repeat."""
    source_fps: Fraction
    """Rate of the dataset's clip."""
    box: tuple[int, int, int, int]
    """x, y, width and height in pixels, even."""
    keeps_time: bool
    """Frames keep their times, so that sound still fits."""
    settings: str
    """All that the new file depends on, as text: it enters the file's name."""


@dataclass(frozen=True, kw_only=True)
class ExportRow:
    """A captioned clip or image as it will be exported; an image has one frame and no rate."""

    config: str
    split: str
    id: str
    sha256: str
    caption: str
    frames: int
    fps: Fraction | None
    height: int
    width: int
    drawings: tuple[int, ...] = ()
    """First frame of each new drawing of the dataset's clip, from 0; empty if not measured."""
    recut: Recut | None = None
    columns: Mapping[str, Any]
    """All columns of the row but the media."""

    @property
    def is_image(self) -> bool:
        return self.config == "images"

    @property
    def seconds(self) -> float:
        """Return the duration of the exported clip, 0 for an image."""
        return float(self.frames / self.fps) if self.fps else 0.0

    @property
    def source_seconds(self) -> float:
        """Return the duration of the dataset's clip, 0 for an image."""
        if not self.recut:
            return self.seconds
        return float(self.columns["num_frames"] / self.recut.source_fps)

    def source_frame(self, frame: int) -> int:
        """Return the frame of the dataset's clip that a frame of the exported clip shows."""
        return self.recut.frames[frame] if self.recut else frame

    def source_time(self, frame: int) -> Fraction:
        """Return the time in the dataset's clip, in seconds, of a frame of the exported clip."""
        fps = self.recut.source_fps if self.recut else self.fps
        return self.source_frame(frame) / fps if fps else Fraction(0)

    @property
    def stem(self) -> str:
        """Return an ASCII name that changes with the bytes; a digest replaces an unsafe id."""
        digest = self.sha256 if SAFE_NAME.fullmatch(self.sha256) else "00000000"
        if self.recut:
            digest = sha256(f"{self.sha256} {self.recut.settings}".encode()).hexdigest()
        name = (
            self.id if SAFE_NAME.fullmatch(self.id) else sha256(self.id.encode()).hexdigest()[:24]
        )
        return f"{name}-{digest[:8]}"

    @property
    def file_name(self) -> str:
        return f"{self.stem}{MEDIA_SUFFIX[self.config]}"


def captioned_rows(dataset: SavedDataset) -> tuple[list[ExportRow], int]:
    """Return the rows that have a caption, and the number of all rows; read no media.

    Raise UsageError if the dataset has no rows, no media, or no captions.
    """
    require_columns(dataset)
    require_rows(dataset)
    _require_media(dataset)
    rows = list(_all_rows(dataset))
    captioned = [row for row in rows if row.caption.strip()]
    if not captioned:
        raise UsageError(
            f"none of the {len(rows)} rows of {dataset.name!r} has a caption, and a trainer "
            "would learn an empty text: run `brickfilm build --captions ...` first"
        )
    return captioned, len(rows)


def source_fps(columns: Mapping[str, Any]) -> Fraction:
    """Return the rate of a clip of the dataset from its columns."""
    return Fraction(int(columns["fps_num"]), int(columns["fps_den"]))


def _all_rows(dataset: SavedDataset) -> Iterator[ExportRow]:
    for config in dataset.configs:
        for columns in dataset.to_pandas(config).to_dict("records"):
            yield _export_row(config, {str(name): value for name, value in columns.items()})


def _export_row(config: str, columns: Mapping[str, Any]) -> ExportRow:
    drawings = columns.get("new_drawings")
    return ExportRow(
        config=config,
        split=columns["split"],
        id=columns["id"],
        sha256=columns["sha256"],
        caption=columns["caption"] if isinstance(columns["caption"], str) else "",
        frames=int(columns.get("num_frames", 1)),
        fps=source_fps(columns) if config == "clips" else None,
        height=int(columns["height"]),
        width=int(columns["width"]),
        drawings=() if drawings is None else tuple(int(frame) for frame in drawings),
        columns=columns,
    )


def _require_media(dataset: SavedDataset) -> None:
    """Raise UsageError for a dataset of references, before anything is written."""
    for config in dataset.configs:
        if MEDIA_COLUMN[config] not in dataset.columns(config):
            raise UsageError(
                f"{dataset.name} holds references, not pictures: run `brickfilm materialize` "
                "first, which cuts the clips from their sources"
            )
