"""Write a saved dataset for a trainer, and predict what it will use of it."""

from __future__ import annotations

from brickfilm.export.base import (
    ExportedFile,
    Exporter,
    ExportPlan,
    ExportResult,
    ExportSettings,
    export_dataset,
    plan_export,
)
from brickfilm.export.formats import FORMATS
from brickfilm.export.make_exporter import make_exporter
from brickfilm.export.prediction import Dropped, ExportForecast, Prediction, Seen
from brickfilm.export.recut import RecutSettings
from brickfilm.export.rows import ExportRow
from brickfilm.export.target import Target
from brickfilm.export.trainer_format import TrainerFormat

__all__ = [
    "FORMATS",
    "Dropped",
    "ExportForecast",
    "ExportPlan",
    "ExportResult",
    "ExportRow",
    "ExportSettings",
    "ExportedFile",
    "Exporter",
    "Prediction",
    "RecutSettings",
    "Seen",
    "Target",
    "TrainerFormat",
    "export_dataset",
    "make_exporter",
    "plan_export",
]
