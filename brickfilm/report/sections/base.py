"""The types of a report section."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from brickfilm.report.context import ReportContext


@dataclass(frozen=True)
class Section:
    """A section of the page: `templates/<name>.html.jinja`, rendered with `data`."""

    name: str
    title: str
    data: Mapping[str, Any]


SectionBuilder = Callable[[ReportContext], Section | None]
"""Returns None if the build has no data for the section."""
