"""YouTubeSource against the local site, run without the rest of a build."""

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

QUICK = RateLimits(between_videos=(0, 0), between_requests=0, pauses=(0.05, 0.05))
IMPATIENT = Connection(timeout=5, retries=3)


def tube(entries: Sequence[str], **settings: Any) -> YouTubeSource:
    """A source in a hurry, for films of 72 lines."""
    defaults: dict[str, Any] = {"max_height": 72, "rate_limits": QUICK, "connection": IMPATIENT}
    return YouTubeSource(entries, **(defaults | settings))


def fetch(
    work: Path, source: YouTubeSource, *, dry_run: bool = False, progress: Progress | None = None
) -> PipelineRun:
    """One pass of listing and fetching; the films are `finished`."""
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


def films(once: PipelineRun) -> list[Video]:
    """The films that came through, by name."""
    return sorted(once.finished, key=lambda film: film.source_id)


def trouble(once: PipelineRun) -> dict[str, ItemResult]:
    """What did not come through, by reason."""
    return {o.reason: o for o in once.item_results if o.status != "done"}
