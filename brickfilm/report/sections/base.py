"""What a section is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from brickfilm.report.context import ReportContext


@dataclass(frozen=True)
class Section:
    """A stretch of the page: `templates/<name>.html.jinja`, filled with `data`."""

    name: str
    title: str
    data: Mapping[str, Any]


SectionBuilder = Callable[[ReportContext], Section | None]
"""None where there is nothing to say."""
