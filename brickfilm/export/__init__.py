"""A saved dataset in the formats of trainers: one file a format, one line here."""

from __future__ import annotations

from collections.abc import Mapping

from brickfilm.export.base import Exporter, ExportResult
from brickfilm.export.opensora import export_opensora

FORMATS: Mapping[str, Exporter] = {"opensora": export_opensora}

__all__ = [
    "ExportResult",
    "Exporter",
    "Mapping",
    "export_opensora",
]
