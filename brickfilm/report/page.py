"""Render the report page: sections and templates in, one HTML file out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from brickfilm.build.plan_file import version_of
from brickfilm.files import atomic_write
from brickfilm.report.context import ReportContext
from brickfilm.report.sections import SECTIONS, Section, SectionBuilder
from brickfilm.report.titles import stage_title

FILENAME = "report.html"


def write_report(context: ReportContext, builders: Sequence[SectionBuilder] = SECTIONS) -> Path:
    """Write `report.html` into the work folder; it loads nothing from the network."""
    html = render_report(context, [section for b in builders if (section := b(context))])
    target = context.work / FILENAME
    with atomic_write(target) as stream:
        stream.write(html.encode(errors="replace"))  # names need not be Unicode
    return target


def page_environment(package: str) -> Environment:
    """Return the settings of a package's HTML templates: everything is escaped."""
    return Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render_report(context: ReportContext, sections: Sequence[Section]) -> str:
    """Render the page as HTML."""
    environment = page_environment("brickfilm.report")
    environment.filters["duration"] = format_duration
    environment.filters["stage_title"] = stage_title
    seconds, footage = sum(context.clips.column("duration")), context.footage_seconds
    return environment.get_template("report.html.jinja").render(
        name=context.work.resolve().name,
        counts=context.counts,
        incomplete=context.incomplete,
        clips=len(context.clips),
        images=len(context.images),
        videos=len(context.video_seconds),
        seconds=seconds,
        kept_share=seconds / footage if footage else None,
        version=version_of("brickfilm"),
        changed_at=context.changed_at,
        sections=sections,
    )


def format_duration(seconds: float) -> str:
    """Format seconds of footage as `7.4 s`, `3 min 20 s` or `5 h 12 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
