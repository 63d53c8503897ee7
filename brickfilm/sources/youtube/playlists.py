"""Listing as a stage: so it is remembered, and a channel of thousands does not block the build."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from brickfilm.engine.stage import Answer, Stage
from brickfilm.errors import Rejected
from brickfilm.records import Listing
from brickfilm.sources.youtube import ytdlp
from brickfilm.sources.youtube.addresses import video_id
from brickfilm.sources.youtube.settings import Connection, RateLimits
from brickfilm.sources.youtube.throttle import Throttle, call_throttled


@dataclass(frozen=True, kw_only=True)
class ListFilms(Stage[Listing, Listing]):
    """The films behind an address: one of a film is its own answer, the rest asks the site.

    The answer is remembered for ever, so that a build resumed after a week fetches what it set out
    to fetch; another `as_of` asks again.
    """

    version: ClassVar[int] = 1
    input_types = (Listing,)
    output_types = (Listing,)
    runs_in_dry_run = True

    as_of: str = ""
    connection: Connection = field(default=Connection(), compare=False)
    rate_limits: RateLimits = field(default=RateLimits(), compare=False)

    @contextmanager
    def open(self, work: Path) -> Iterator[Callable[[Listing], Answer]]:
        pace = Throttle(RateLimits(between_films=(self.rate_limits.between_requests,) * 2))
        yield lambda listing: {"films": self._films(listing, pace)}

    def _films(self, listing: Listing, pace: Throttle) -> list[dict[str, Any]]:
        if video_id(listing.url):
            return [{"source_id": listing.source_id, "url": listing.url}]

        def listed() -> list[dict[str, Any]]:
            settings: dict[str, Any] = {"ignore_no_formats_error": True}
            with ytdlp.open_session(
                listing, self.connection, self.rate_limits, **settings
            ) as ytdlp_session:
                return list(ytdlp_session.list_videos(listing.url))

        return call_throttled(listed, pace)

    def apply(self, item: Listing, answer: Answer) -> Iterable[Listing | Rejected]:
        if not answer["films"]:
            yield Rejected(f"{item.url} lists no films", reason="empty list")
        for film in answer["films"]:
            yield Listing(**film)
