"""Write a saved dataset in the formats of trainers: one file for each, and one line here."""

from __future__ import annotations

from collections.abc import Mapping

from brickfilm.export.base import Exporter, ExportResult
from brickfilm.export.opensora import export_opensora

FORMATS: Mapping[str, Exporter] = {"opensora": export_opensora}

__all__ = ["FORMATS", "ExportResult", "Exporter", "export_opensora"]
