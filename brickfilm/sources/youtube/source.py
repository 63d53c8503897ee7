"""Films of YouTube, and of whatever else yt-dlp reads."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from pathlib import Path
from typing import Any, Self, get_args

from brickfilm.engine.stage import Stage
from brickfilm.errors import UsageError
from brickfilm.records import Listing
from brickfilm.schema.licences import hub_licence_id
from brickfilm.sources.youtube.addresses import listing_of, read_entries
from brickfilm.sources.youtube.fetch import FetchFilm
from brickfilm.sources.youtube.forecast import DownloadForecast, forecast_download
from brickfilm.sources.youtube.formats import LicenceFilter, OnLowResolution
from brickfilm.sources.youtube.lock import SourcesLock, build_lock
from brickfilm.sources.youtube.media_files import SourceFile
from brickfilm.sources.youtube.playlists import ListFilms
from brickfilm.sources.youtube.refetch import RefetchFilm
from brickfilm.sources.youtube.settings import Connection, RateLimits

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class YouTubeSource:
    """URLs, video ids, channels, handles, playlists and feeds: every film behind them, once.

        YouTubeSource(["@handle", "https://..."], max_height=720)
        YouTubeSource.from_file("urls.txt", licence="cc")

    Terms of service and rights are yours to check: docs/youtube.md.
    """

    entries: Sequence[str]
    _: KW_ONLY
    max_height: int = 720
    """Lines to ask for. A film with fewer is left out; none is ever upscaled."""
    on_low_resolution: OnLowResolution = "reject"
    """"keep" takes a film with fewer lines too, and its format says so."""
    licence: LicenceFilter = "any"
    """"cc" keeps Creative Commons that lets one cut and pass on (no NC, no ND)."""
    keep_sources: bool = True
    """False deletes a film as soon as its clips are written and verified."""
    as_of: str = ""
    """Any word, a date for instance. Lists are asked once and remembered: a new word asks again."""
    connection: Connection = field(default_factory=Connection)
    rate_limits: RateLimits = field(default_factory=RateLimits)
    lock: SourcesLock | None = None
    """Fetch exactly these films instead of what the entries list."""
    allow_drift: bool = False

    def __post_init__(self) -> None:
        one = self.entries
        entries = (one,) if isinstance(one, str) else tuple(one)
        object.__setattr__(self, "entries", entries)
        for entry in entries:
            listing_of(entry)
        if self.max_height < 1:
            raise UsageError(f"max_height={self.max_height} must be a number of lines, as 720")
        _check_choice("on_low_resolution", self.on_low_resolution, get_args(OnLowResolution))
        _check_choice("licence", self.licence, get_args(LicenceFilter))

    @classmethod
    def from_file(cls, path: str | Path, **settings: Any) -> Self:
        """The entries of a text file, one a line, `#` for comments; settings as of the class."""
        return cls(tuple(read_entries(path)), **settings)

    def items(self) -> Iterator[Listing]:
        """The entries, as they are: what lies behind them is the work of a stage."""
        if self.lock is not None:
            yield from (Listing(source_id=f.source_id, url=f.url) for f in self.lock.films)
            return
        if not self.entries:
            raise UsageError("there is nothing to fetch: name a channel, a playlist or a film")
        yield from {listing.id: listing for listing in map(listing_of, self.entries)}.values()

    def stages(self) -> tuple[Stage[Any, Any], ...]:
        """List, then fetch; or fetch again, where a lock says what."""
        passing: dict[str, Any] = {"connection": self.connection, "rate_limits": self.rate_limits}
        fetching: dict[str, Any] = {
            **passing,
            "max_height": self.max_height,
            "on_low_resolution": self.on_low_resolution,
            "licence": self.licence,
            "keep_sources": self.keep_sources,
        }
        if self.lock is not None:
            return (RefetchFilm(lock=self.lock, allow_drift=self.allow_drift, **fetching),)
        return (ListFilms(as_of=self.as_of, **passing), FetchFilm(**fetching))

    def locked(self, folder: Path, *, allow_drift: bool = False) -> Self:
        """This source, bound to the lock file of a folder."""
        return replace(self, lock=SourcesLock.read(folder), allow_drift=allow_drift)

    def forecast(self, films: Sequence[Listing]) -> DownloadForecast:
        """What fetching these films will take."""
        return forecast_download(films, self.rate_limits, self.max_height)

    def finish(self, work: Path, done: Sequence[str]) -> None:
        """After a pass: write the lock file of the films that are there, and count licences.

        done: the source ids of every film that was fetched, in this pass or before.
        """
        films = [self._source_file(work, source_id).metadata() for source_id in sorted(set(done))]
        known = [film for film in films if film is not None]
        if self.lock is None or self.allow_drift:
            build_lock(known).write(work)
        if closed := sum(hub_licence_id(film["licence"]) is None for film in known):
            log.warning(
                "%d of %d films are not openly licensed: whether you may use and publish them is "
                "yours to check (docs/youtube.md)",
                closed,
                len(known),
            )

    def _source_file(self, work: Path, source_id: str) -> SourceFile:
        return SourceFile.of(work, Listing(source_id=source_id), self.max_height)


def _check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UsageError(f"{name}={value!r} is not known: {' or '.join(map(repr, known))}")
