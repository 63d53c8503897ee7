"""Write a saved dataset for a trainer, and predict what it will use of it."""

from __future__ import annotations

from brickfilm.export.base import (
    ExportedFile,
    Exporter,
    ExportPlan,
    ExportResult,
    export_dataset,
    plan_export,
)
from brickfilm.export.formats import EXPORTERS
from brickfilm.export.prediction import Dropped, ExportForecast, Prediction, Seen
from brickfilm.export.rows import ExportRow

__all__ = [
    "EXPORTERS",
    "Dropped",
    "ExportForecast",
    "ExportPlan",
    "ExportResult",
    "ExportRow",
    "ExportedFile",
    "Exporter",
    "Prediction",
    "Seen",
    "export_dataset",
    "plan_export",
]
