"""The protocol of exporters, and what they share: an export is checked, predicted and written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Protocol

from brickfilm.dataset.reader import SavedDataset
from brickfilm.errors import BrickfilmError, UsageError
from brickfilm.export.caption_styles import render_caption
from brickfilm.export.marker import ExportMarker, open_export
from brickfilm.export.media_files import find_bars, write_media
from brickfilm.export.prediction import Dropped, ExportForecast, Prediction, Seen
from brickfilm.export.recut import RecutSettings, recut_row
from brickfilm.export.rows import ExportRow, captioned_rows
from brickfilm.export.target import Target
from brickfilm.media.crop_scale import Box


class NothingToExport(BrickfilmError):
    """A trainer would drop every clip of a dataset, or every image of one without clips."""


@dataclass(frozen=True)
class ExportedFile:
    """A clip or image that was written, its row, and what the trainer reads of it."""

    path: Path
    row: ExportRow
    seen: Seen


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
    """A trainer's format for one target model: its rules, what it reads, and its files."""

    @property
    def name(self) -> str:
        """Return the value of `brickfilm export --to`."""

    @property
    def target(self) -> Target:
        """Return the model, lengths and size that the trainer is set to."""

    @property
    def models(self) -> Sequence[str]:
        """Return the names of the models that it trains; the first is the default."""

    @property
    def configs(self) -> Sequence[str]:
        """Return which of 'clips' and 'images' it reads; the others are left out."""

    def source_frames(self, frames: int, fps: Fraction) -> int:
        """Return how many frames of a clip at `fps` it takes to read `frames` of it."""

    def check(self, rows: Sequence[ExportRow]) -> None:
        """Raise UsageError if a rule of the trainer is broken, before files are written."""

    def predict(self, row: ExportRow) -> Prediction:
        """Return the frames, rate and size that the trainer will read, or why it drops the row."""

    def folder(self, row: ExportRow, seen: Seen) -> str:
        """Return the folder of a row's media, relative to the export."""

    def write(self, files: Sequence[ExportedFile], out: Path) -> Path:
        """Write captions, tables and the trainer's config; return the file to pass to it."""


@dataclass(frozen=True)
class ExportSettings:
    """Choices beside the trainer and its target."""

    recut: RecutSettings = field(default_factory=RecutSettings)
    cut_frames: bool = False
    """Cut clips to the target's length, and one frame more where the trainer needs it."""
    split: str | None = None
    """Export one split only."""


@dataclass(frozen=True)
class ExportPlan:
    """The rows of an export, and what the trainer will do with each."""

    exporter: Exporter
    dataset: SavedDataset
    settings: ExportSettings
    rows: Sequence[ExportRow]
    """Captioned rows of the configs that the trainer reads, as they are in the dataset."""
    predictions: Sequence[tuple[ExportRow, Prediction]]
    without_caption: int

    @property
    def used(self) -> list[tuple[ExportRow, Seen]]:
        """Return the rows that the trainer will use: only these are written."""
        return [(row, seen) for row, seen in self.predictions if isinstance(seen, Seen)]

    @property
    def forecast(self) -> ExportForecast:
        return ExportForecast.from_predictions(self.predictions)

    def require_rows(self) -> None:
        """Raise NothingToExport if no clip is used, and no image if there are only those."""
        forecast = self.forecast
        if forecast.clips or (forecast.images and not forecast.all_clips):
            return
        reasons = "; ".join(forecast.lines()[1:]) or "it has images only, which are not read"
        raise NothingToExport(
            f"{self.exporter.name} would use no clip of {self.dataset.name!r}: {reasons}"
        )

    def write(self, out: str | Path) -> ExportResult:
        """Write the rows that are used into a folder; keep media that are there already.

        Raise NothingToExport as `require_rows` does, and UsageError if the folder holds something
        else, or another export.
        """
        self.require_rows()
        out = Path(out)
        used = self.used
        names = {
            (row.config, row.id): f"{self.exporter.folder(row, seen)}/{row.file_name}"
            for row, seen in used
        }
        model = self.exporter.target.model.name
        marker = ExportMarker(self.exporter.name, model, self.dataset.name)
        with open_export(out, marker, media=list(names.values())):
            paths = write_media(self.dataset, [row for row, _ in used], names, out)
            files = [ExportedFile(paths[row.config, row.id], row, seen) for row, seen in used]
            index = self.exporter.write(files, out)
        images = sum(row.is_image for row, _ in used)
        clips = len(used) - images
        return ExportResult(index, self.forecast, clips, images, self.without_caption)


def plan_export(
    dataset: SavedDataset, exporter: Exporter, settings: ExportSettings | None = None
) -> ExportPlan:
    """Check a dataset against a trainer's rules, and predict what it will use; write nothing.

    Raise UsageError if the dataset has no media or no captions, or a rule of the trainer is broken.
    """
    settings = settings or ExportSettings()
    rows, total = captioned_rows(dataset)
    _require_unique(rows)
    taken = [
        _styled(row, exporter)
        for row in _of_split(rows, settings.split)
        if row.config in exporter.configs
    ]
    bars: Mapping[str, Box] = {}
    if settings.recut.crop == "letterbox":
        bars = find_bars(dataset, [row for row in taken if not row.is_image])
    predictions = predict_rows(taken, exporter, settings, bars)
    exporter.check([row for row, _ in predictions])
    return ExportPlan(exporter, dataset, settings, taken, predictions, total - len(rows))


def predict_rows(
    rows: Sequence[ExportRow],
    exporter: Exporter,
    settings: ExportSettings,
    bars: Mapping[str, Box] | None = None,
) -> list[tuple[ExportRow, Prediction]]:
    """Return the rows after the changes that were asked for, and what the trainer reads of each.

    bars: the picture inside the black bars by id, for `crop="letterbox"`.
    """
    made = ((row, _recut(row, exporter, settings, (bars or {}).get(row.id))) for row in rows)
    return [
        (row, new) if isinstance(new, Dropped) else (new, exporter.predict(new))
        for row, new in made
    ]


def export_dataset(
    dataset: SavedDataset, exporter: Exporter, out: Path, settings: ExportSettings | None = None
) -> ExportResult:
    """Write the captioned rows that a trainer will use, in its format, into a folder."""
    return plan_export(dataset, exporter, settings).write(out)


def _styled(row: ExportRow, exporter: Exporter) -> ExportRow:
    caption = render_caption(row.columns, exporter.target.model.caption_style)
    return replace(row, caption=caption)


def _of_split(rows: Sequence[ExportRow], split: str | None) -> list[ExportRow]:
    """Return the rows of a split; raise UsageError if none is in it."""
    chosen = [row for row in rows if split in (None, row.split)]
    if not chosen:
        splits = ", ".join(sorted({row.split for row in rows}))
        raise UsageError(f"--split {split!r} has no captioned row: give one of {splits}")
    return chosen


def _require_unique(rows: Sequence[ExportRow]) -> None:
    seen: set[tuple[str, str]] = set()
    for row in rows:
        if (row.config, row.id) in seen:
            raise UsageError(
                f"two rows of {row.config!r} have the id {row.id!r}, and their files would replace "
                "each other: run `brickfilm validate`"
            )
        seen.add((row.config, row.id))


def _recut(
    row: ExportRow,
    exporter: Exporter,
    settings: ExportSettings,
    bars: Box | None,
) -> ExportRow | Dropped:
    if settings.recut.changes_nothing and not settings.cut_frames:
        return row
    retimed = recut_row(row, settings.recut, None, bars)
    if isinstance(retimed, Dropped) or not settings.cut_frames or retimed.fps is None:
        return retimed
    needed = exporter.source_frames(exporter.target.frames, retimed.fps)
    return recut_row(row, settings.recut, needed, bars)
