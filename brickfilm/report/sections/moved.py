"""Videos that changed their split since the last build."""

from __future__ import annotations

from brickfilm.report.context import ReportContext
from brickfilm.report.sections.base import Section


def moved_videos(context: ReportContext) -> Section | None:
    """Return each video with its previous and its current split."""
    videos = [
        (context.titles.get(video, video), before, context.split.split_by_video[video])
        for video, before in sorted(context.split.moved_videos.items())
    ]
    return Section("moved", "Videos that changed split", {"videos": videos}) if videos else None
