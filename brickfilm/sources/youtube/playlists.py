"""List channels, playlists and feeds in a stage, so that the answer is stored in the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from brickfilm.engine.stage import Answer, Stage
from brickfilm.errors import Rejected
from brickfilm.records import Listing
from brickfilm.schema.public_text import public_url
from brickfilm.sources.youtube import ytdlp
from brickfilm.sources.youtube.addresses import video_id
from brickfilm.sources.youtube.settings import Connection, RateLimits
from brickfilm.sources.youtube.throttle import Throttle, call_throttled


@dataclass(frozen=True, kw_only=True)
class ListVideos(Stage[Listing, Listing]):
    """List the videos behind an address; the address of a single video needs no request.

    The answer is stored, so that a build resumed after a week fetches the same videos; a new
    `as_of` lists again.
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
        throttle = Throttle(RateLimits(between_videos=(self.rate_limits.between_requests,) * 2))
        yield lambda listing: {"films": self._list(listing, throttle)}

    def _list(self, listing: Listing, throttle: Throttle) -> list[dict[str, Any]]:
        """Return the fields of a Listing for each video."""
        if video_id(listing.url):
            return [{"source_id": listing.source_id, "url": listing.url}]

        def request() -> list[dict[str, Any]]:
            options: dict[str, Any] = {"ignore_no_formats_error": True}
            session = ytdlp.open_session(listing, self.connection, self.rate_limits, **options)
            with session as ytdl:
                return list(ytdl.list_videos(listing.url))

        return call_throttled(request, throttle)

    def apply(self, item: Listing, answer: Answer) -> Iterable[Listing | Rejected]:
        if not answer["films"]:
            yield Rejected(f"{public_url(item.url)} lists no videos", reason="empty list")
        for fields in answer["films"]:
            yield Listing(**fields)
