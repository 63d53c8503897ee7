"""Each video with its timeline: what was kept, what was not and why, and the cuts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace

from brickfilm.dataset.rows import video_id_of
from brickfilm.engine.ledger import ItemResult
from brickfilm.report.context import ReportContext
from brickfilm.report.sections.base import Section
from brickfilm.schema.columns import TRANSITION_COLUMNS

MAX_VIDEOS = 1_000
"""Videos listed."""
MAX_SPANS = 6_000
"""Spans drawn, about 1.2 MB; the videos after them have their line alone."""
SCALE = 1_000.0
"""Width of a timeline in its own units."""
MIN_WIDTH = 1.5
"""A span of a long video is seen and can be pointed at."""


@dataclass(frozen=True)
class TimelineSpan:
    """A clip, or a shot that is in no clip, in seconds of its video."""

    clip: str
    status: str
    reason: str
    """The split of a kept clip; else why it is not."""
    start: float
    end: float
    edges: str = ""
    """Transitions at its start and end, if they are known."""
    x: float = 0.0
    width: float = 0.0
    """Place on the timeline."""

    @property
    def text(self) -> str:
        """Return the words that a browser shows at the pointer."""
        place = f"{format_clock(self.start)} to {format_clock(self.end)}"
        return f"{place}: {self.status}, {self.reason}{self.edges}"


@dataclass(frozen=True)
class VideoTimeline:
    """A line of the table."""

    id: str
    title: str
    seconds: float
    kept: int
    kept_seconds: float
    left_out: str
    """Number of shots that are in no clip by reason, as text; or why the whole video is."""
    spans: Sequence[TimelineSpan]


def timelines(context: ReportContext) -> Section | None:
    """Return a line for each video that could be opened, by title."""
    titles = context.titles
    ids = sorted(titles, key=lambda id: (titles[id], id))
    if not ids:
        return None
    spans: defaultdict[str, list[TimelineSpan]] = defaultdict(list)
    for span in timeline_spans(context, frozenset(ids[:MAX_VIDEOS])):
        spans[video_id_of(span.clip)].append(span)
    whole = {r.item: r for r in context.notable_results if r.kind == "video" and r.status != "done"}
    rows = [_timeline(context, id, spans[id], whole.get(id)) for id in ids[:MAX_VIDEOS]]
    drawn = list(_within(rows, MAX_SPANS))
    data = {"videos": drawn, "unlisted": len(ids) - len(rows), "scale": SCALE}
    return Section("videos", "Videos", data)


def timeline_spans(context: ReportContext, videos: Container[str]) -> Iterator[TimelineSpan]:
    """Yield the clips of these videos in the dataset, then the shots that are in no clip of it."""
    for row in context.clips.select("id", "start", "end", *TRANSITION_COLUMNS):
        if video_id_of(row["id"]) not in videos:
            continue
        edges = [row[name] for name in TRANSITION_COLUMNS if row.get(name)]
        yield TimelineSpan(
            clip=row["id"],
            status="kept",
            reason=context.split_of(row["id"]),
            start=row["start"],
            end=row["end"],
            edges=f" ({' to '.join(edges)})" if edges else "",
        )
    left_out = {i: r for i, r in context.left_out_results.items() if video_id_of(i) in videos}
    records = context.clip_records(left_out) if left_out else {}
    for id, result in left_out.items():
        clip = records.get(id)
        if clip and clip.span.frames:
            reason = result.reason or result.status
            yield TimelineSpan(id, result.status, reason, clip.start, clip.end)


def format_clock(seconds: float) -> str:
    """Format a place in a video as `0:02.5` or `1:23:45.0`."""
    minutes, rest = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{rest:04.1f}" if hours else f"{minutes}:{rest:04.1f}"


def _timeline(
    context: ReportContext, id: str, spans: Sequence[TimelineSpan], whole: ItemResult | None
) -> VideoTimeline:
    """Return the line of a video; `whole` is its result if it came to nothing as a whole."""
    kept = [span for span in spans if span.status == "kept"]
    reasons = Counter(span.reason for span in spans if span.status != "kept")
    counted = sorted(reasons.items(), key=lambda found: (-found[1], found[0]))
    texts = [f"{n:,} {reason}" for reason, n in counted]
    if whole:
        texts.insert(0, f"the whole video: {whole.reason or whole.status}")
    seconds = context.video_seconds.get(id) or max((span.end for span in spans), default=0.0)
    return VideoTimeline(
        id=id,
        title=context.titles[id],
        seconds=seconds,
        kept=len(kept),
        kept_seconds=sum(span.end - span.start for span in kept),
        left_out=", ".join(texts),
        spans=placed(spans, seconds),
    )


def placed(spans: Sequence[TimelineSpan], seconds: float) -> list[TimelineSpan]:
    """Return spans in order with their places on a timeline of the video's seconds.

    It begins at 0, or at the first span if the video's own time does not begin at 0.
    """
    if not spans:
        return []
    end = max(span.end for span in spans)
    first = 0.0 if end <= 1.01 * seconds else min(span.start for span in spans)
    scale = SCALE / max(seconds, end - first)
    return [
        replace(
            span,
            x=round((span.start - first) * scale, 1),
            width=max(MIN_WIDTH, round((span.end - span.start) * scale, 1)),
        )
        for span in sorted(spans, key=lambda span: (span.start, span.clip))
    ]


def _within(rows: Sequence[VideoTimeline], most: int) -> Iterator[VideoTimeline]:
    """Yield the rows; those after `most` spans have none."""
    for row in rows:
        most -= len(row.spans)
        yield row if most >= 0 else replace(row, spans=())
