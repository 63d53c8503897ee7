"""What a section is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from brickfilm.report.context import Material


@dataclass(frozen=True)
class Section:
    """A stretch of the page: `templates/<name>.html.jinja`, filled with `facts`."""

    name: str
    title: str
    facts: Mapping[str, Any]


Builder = Callable[[Material], Section | None]
"""None where there is nothing to say."""
