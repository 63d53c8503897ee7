"""Videos whose pictures were converted: high dynamic range, fields, pixel formats."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from brickfilm.report.context import ReportContext
from brickfilm.report.sections.base import Section

MAX_NAMES = 8


@dataclass(frozen=True)
class ConvertedVideos:
    """The videos that one conversion was made for."""

    conversion: str
    names: list[str]
    """Source ids, at most MAX_NAMES."""
    more: int


def conversions(context: ReportContext) -> Section | None:
    """Return each conversion with the videos that it was made for."""
    names: defaultdict[str, list[str]] = defaultdict(list)
    for video in sorted(context.cut_videos.values(), key=lambda video: video.source_id):
        for conversion in video.conversions or ():
            names[conversion].append(video.source_id)
    if not names:
        return None
    rows = [
        ConvertedVideos(conversion, found[:MAX_NAMES], len(found[MAX_NAMES:]))
        for conversion, found in sorted(names.items())
    ]
    return Section("conversions", "Converted pictures", {"rows": rows})
