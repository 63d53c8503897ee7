"""Run YouTubeSource against the local site, without the rest of a build."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from brickfilm.engine.executors import LocalExecutor
from brickfilm.engine.ledger import ItemResult, Ledger
from brickfilm.engine.pipeline import Pipeline
from brickfilm.engine.progress import Progress
from brickfilm.engine.run import PipelineRun
from brickfilm.records import Video
from brickfilm.sources import Connection, RateLimits, YouTubeSource

NO_DELAYS = RateLimits(between_videos=(0, 0), between_requests=0, pauses=(0.05, 0.05))
SHORT_TIMEOUTS = Connection(timeout=5, retries=3)


def youtube_source(entries: Sequence[str], **settings: Any) -> YouTubeSource:
    """Return a source without delays, for videos of 72 lines."""
    defaults: dict[str, Any] = {
        "max_height": 72,
        "rate_limits": NO_DELAYS,
        "connection": SHORT_TIMEOUTS,
    }
    return YouTubeSource(entries, **(defaults | settings))


def fetch(
    work: Path, source: YouTubeSource, *, dry_run: bool = False, progress: Progress | None = None
) -> PipelineRun:
    """Run one pass of listing and downloading; the videos are in `finished`."""
    executor = LocalExecutor(processes=1)
    with Ledger(work) as ledger:
        pipeline = Pipeline.from_stages(source, ())
        once = PipelineRun(pipeline, ledger, executor, progress=progress, dry_run=dry_run)
        try:
            once.execute(source.items())
        finally:
            executor.close()
    source.finish(work, [o.source_id for o in once.item_results if o.status == "done"])
    return once


def videos(once: PipelineRun) -> list[Video]:
    """Return the downloaded videos by source id."""
    return sorted(once.finished, key=lambda video: video.source_id)


def unfinished(once: PipelineRun) -> dict[str, ItemResult]:
    """Return the results that are not done, by reason."""
    return {o.reason: o for o in once.item_results if o.status != "done"}
