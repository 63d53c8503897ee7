"""YouTubeSource against the local site, run without the rest of a build."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from brickfilm.engine.executors import LocalExecutor
from brickfilm.engine.ledger import Ledger, Outcome
from brickfilm.engine.pipeline import Pipeline
from brickfilm.engine.run import Progress, Run
from brickfilm.records import Video
from brickfilm.sources import Access, Politeness, YouTubeSource

QUICK = Politeness(between_films=(0, 0), between_requests=0, pauses=(0.05, 0.05))
IMPATIENT = Access(timeout=5, retries=3)


def tube(entries: Sequence[str], **settings: Any) -> YouTubeSource:
    """A source in a hurry, for films of 72 lines."""
    defaults: dict[str, Any] = {"max_height": 72, "politeness": QUICK, "access": IMPATIENT}
    return YouTubeSource(entries, **(defaults | settings))


def fetch(
    work: Path, source: YouTubeSource, *, rehearse: bool = False, progress: Progress | None = None
) -> Run:
    """One pass of listing and fetching; the films are `finished`."""
    executor = LocalExecutor(processes=1)
    with Ledger(work) as ledger:
        pipeline = Pipeline.of(source, ())
        once = Run(pipeline, ledger, executor, progress=progress, rehearse=rehearse)
        try:
            once.go(source.items())
        finally:
            executor.close()
    source.finish(work, [o.source_id for o in once.outcomes if o.outcome == "done"])
    return once


def films(once: Run) -> list[Video]:
    """The films that came through, by name."""
    return sorted(once.finished, key=lambda film: film.source_id)


def trouble(once: Run) -> dict[str, Outcome]:
    """What did not come through, by reason."""
    return {o.reason: o for o in once.outcomes if o.outcome != "done"}
