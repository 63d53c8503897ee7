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
from brickfilm.sources.youtube.addresses import film_id
from brickfilm.sources.youtube.settings import Access, Politeness
from brickfilm.sources.youtube.throttle import Pace, patiently


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
    access: Access = field(default=Access(), compare=False)
    politeness: Politeness = field(default=Politeness(), compare=False)

    @contextmanager
    def open(self, work: Path) -> Iterator[Callable[[Listing], Answer]]:
        pace = Pace(Politeness(between_films=(self.politeness.between_requests,) * 2))
        yield lambda listing: {"films": self._films(listing, pace)}

    def _films(self, listing: Listing, pace: Pace) -> list[dict[str, Any]]:
        if film_id(listing.url):
            return [{"source_id": listing.source_id, "url": listing.url}]

        def listed() -> list[dict[str, Any]]:
            settings: dict[str, Any] = {"ignore_no_formats_error": True}
            with ytdlp.session(listing, self.access, self.politeness, **settings) as tube:
                return list(tube.films(listing.url))

        return patiently(listed, pace)

    def apply(self, item: Listing, answer: Answer) -> Iterable[Listing | Rejected]:
        if not answer["films"]:
            yield Rejected(f"{item.url} lists no films", reason="empty list")
        for film in answer["films"]:
            yield Listing(**film)
