"""The page around the sections: templates in, one HTML file out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from brickfilm.report.context import ReportContext
from brickfilm.report.sections import SECTIONS, Section, SectionBuilder

FILENAME = "report.html"


def write_report(material: ReportContext, builders: Sequence[SectionBuilder] = SECTIONS) -> Path:
    """Write `report.html` into the work folder: it needs no network and no other file."""
    html = render_report(material, [section for b in builders if (section := b(material))])
    target = material.work / FILENAME
    draft = material.work / f".{FILENAME}.{os.getpid()}.tmp"
    draft.write_text(html, encoding="utf-8", errors="replace")  # names need not be Unicode
    draft.replace(target)
    return target


def render_report(material: ReportContext, sections: Sequence[Section]) -> str:
    """The page as text."""
    environment = Environment(
        loader=PackageLoader("brickfilm.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["clock"] = format_duration
    return environment.get_template("report.html.jinja").render(
        name=material.work.resolve().name,
        counts=material.counts,
        incomplete=material.incomplete,
        clips=len(material.clips),
        images=len(material.images),
        films=len(material.video_seconds),
        seconds=sum(row["duration"] for row in material.clips),
        sections=sections,
    )


def format_duration(seconds: float) -> str:
    """Footage for people: 7.4 s, 3 min 20 s, 5 h 12 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
