"""Films that changed their split since the last build."""

from __future__ import annotations

from brickfilm.report.context import ReportContext
from brickfilm.report.sections.base import Section


def moved_videos(material: ReportContext) -> Section | None:
    """Each film with the split it was in, and the one it is in now."""
    films = [
        (material.titles.get(film, film), before, material.split.split_by_video[film])
        for film, before in sorted(material.split.moved_videos.items())
    ]
    return Section("moved", "Films that changed their split", {"films": films}) if films else None
