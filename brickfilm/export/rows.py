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
class ExportRow:
    """A captioned clip or image; an image has one frame and no rate."""

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
    """First frame of each new drawing, from 0; empty where it was not measured."""
    columns: Mapping[str, Any]
    """All columns of the row but the media."""

    @property
    def is_image(self) -> bool:
        return self.config == "images"

    @property
    def seconds(self) -> float:
        """Return the duration of a clip, 0 for an image."""
        return float(self.frames / self.fps) if self.fps else 0.0

    @property
    def file_name(self) -> str:
        """Return an ASCII name that changes with the bytes; a digest replaces an unsafe id."""
        digest = self.sha256 if SAFE_NAME.fullmatch(self.sha256) else "00000000"
        name = (
            self.id if SAFE_NAME.fullmatch(self.id) else sha256(self.id.encode()).hexdigest()[:24]
        )
        return f"{name}-{digest[:8]}{MEDIA_SUFFIX[self.config]}"


def captioned_rows(dataset: SavedDataset) -> tuple[list[ExportRow], int]:
    """Return the rows that have a caption, and the number of all rows; read no media.

    Raise UsageError if the dataset has no rows, no media, or no captions.
    """
    require_columns(dataset)
    require_rows(dataset)
    _require_media(dataset)
    rows = list(_all_rows(dataset))
    captioned = [row for row in rows if row.caption]
    if not captioned:
        raise UsageError(
            f"none of the {len(rows)} rows of {dataset.name!r} has a caption, and a trainer "
            "would learn an empty text: run `brickfilm build --captions ...` first"
        )
    return captioned, len(rows)


def _all_rows(dataset: SavedDataset) -> Iterator[ExportRow]:
    for config in dataset.configs:
        for columns in dataset.to_pandas(config).to_dict("records"):
            yield _export_row(config, {str(name): value for name, value in columns.items()})


def _export_row(config: str, columns: Mapping[str, Any]) -> ExportRow:
    drawings = columns.get("new_drawings")
    rate = config == "clips" and Fraction(int(columns["fps_num"]), int(columns["fps_den"]))
    return ExportRow(
        config=config,
        split=columns["split"],
        id=columns["id"],
        sha256=columns["sha256"],
        caption=columns["caption"] if isinstance(columns["caption"], str) else "",
        frames=int(columns.get("num_frames", 1)),
        fps=rate or None,
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
