"""The protocol of exporters, and what they share: an export is checked, predicted and written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from brickfilm.dataset.reader import SavedDataset
from brickfilm.errors import BrickfilmError
from brickfilm.export.media_files import write_media
from brickfilm.export.prediction import Dropped, ExportForecast, Prediction
from brickfilm.export.rows import ExportRow, captioned_rows
from brickfilm.files import make_folder


class NothingToExport(BrickfilmError):
    """A trainer would drop every clip and image of a dataset."""


@dataclass(frozen=True)
class ExportedFile:
    """A clip or image that was written, and its row."""

    path: Path
    row: ExportRow


@dataclass(frozen=True)
class ExportResult:
    """Files and rows of an export."""

    index_path: Path
    """The file to pass to the trainer."""
    forecast: ExportForecast
    clips: int
    images: int
    without_caption: int
    """Number of rows left out, because a trainer would learn an empty text."""


class Exporter(Protocol):
    """A trainer's format: its rules, what it reads of a clip, and its files."""

    @property
    def name(self) -> str:
        """Return the value of `brickfilm export --to`."""

    @property
    def media_folders(self) -> Mapping[str, str]:
        """Return the folder below the export for each config; a config without one is left out."""

    def check(self, rows: Sequence[ExportRow]) -> None:
        """Raise UsageError if a rule of the trainer is broken, before files are written."""

    def predict(self, row: ExportRow) -> Prediction:
        """Return the frames, rate and size that the trainer will read, or why it drops the row."""

    def write(self, files: Sequence[ExportedFile], out: Path) -> Path:
        """Write captions, tables and the trainer's config; return the file to pass to it."""


@dataclass(frozen=True)
class ExportPlan:
    """The rows of an export, and what the trainer will do with each."""

    exporter: Exporter
    dataset: SavedDataset
    predictions: Sequence[tuple[ExportRow, Prediction]]
    without_caption: int

    @property
    def rows(self) -> list[ExportRow]:
        """Return the rows that the trainer will use: only these are written."""
        return [row for row, seen in self.predictions if not isinstance(seen, Dropped)]

    @property
    def forecast(self) -> ExportForecast:
        return ExportForecast.from_predictions(self.predictions)

    def write(self, out: Path) -> ExportResult:
        """Write the rows that are used into a folder; keep media that are there already.

        Raise NothingToExport if the trainer would drop them all.
        """
        rows = self.rows
        if not rows:
            reasons = "; ".join(self.forecast.lines()[1:])
            raise NothingToExport(
                f"{self.exporter.name} would use no clip of {self.dataset.name!r}: {reasons}"
            )
        make_folder(out)
        paths = write_media(self.dataset, rows, self.exporter.media_folders, out)
        files = [ExportedFile(paths[row.config, row.id], row) for row in rows]
        images = sum(row.is_image for row in rows)
        return ExportResult(
            self.exporter.write(files, out),
            self.forecast,
            len(rows) - images,
            images,
            self.without_caption,
        )


def plan_export(dataset: SavedDataset, exporter: Exporter) -> ExportPlan:
    """Check a dataset against a trainer's rules, and predict what it will use; write nothing.

    Raise UsageError if the dataset has no media or no captions, or a rule of the trainer is broken.
    """
    rows, total = captioned_rows(dataset)
    taken = [row for row in rows if row.config in exporter.media_folders]
    exporter.check(taken)
    predictions = [(row, exporter.predict(row)) for row in taken]
    return ExportPlan(exporter, dataset, predictions, total - len(rows))


def export_dataset(dataset: SavedDataset, exporter: Exporter, out: Path) -> ExportResult:
    """Write the captioned rows that a trainer will use, in its format, into a folder."""
    return plan_export(dataset, exporter).write(out)
