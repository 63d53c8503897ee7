"""The formats of trainers: one file for each, and one line here."""

from __future__ import annotations

from collections.abc import Mapping

from brickfilm.export.base import Exporter
from brickfilm.export.formats.opensora import OpenSora

EXPORTERS: Mapping[str, Exporter] = {exporter.name: exporter for exporter in (OpenSora(),)}
"""Exporters by the value of `brickfilm export --to`."""

__all__ = ["EXPORTERS", "OpenSora"]
