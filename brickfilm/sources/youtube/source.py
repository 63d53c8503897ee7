"""List and download videos from YouTube and other sites that yt-dlp supports."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, field, replace
from pathlib import Path
from typing import Any, Self, get_args

from brickfilm.engine.stage import Stage
from brickfilm.errors import Rejected, UsageError
from brickfilm.records import DeinterlaceMode, HdrMode, Listing, Video
from brickfilm.schema.public_text import credentials_of, has_secret, strip_credentials
from brickfilm.sources.base import RefetchFunction, SourceFile, check_choice
from brickfilm.sources.base.lock import SourcesLock, record_downloads
from brickfilm.sources.youtube.addresses import listing_of, read_entries
from brickfilm.sources.youtube.fetch import FetchVideo
from brickfilm.sources.youtube.forecast import DownloadForecast, forecast_download
from brickfilm.sources.youtube.formats import LicenceFilter, OnLowResolution
from brickfilm.sources.youtube.playlists import ListVideos
from brickfilm.sources.youtube.refetch import RefetchVideo
from brickfilm.sources.youtube.settings import Connection, RateLimits
from brickfilm.sources.youtube.throttle import Throttle

log = logging.getLogger(__name__)

MIN_REFETCH_HEIGHT = 144
"""The lowest height that YouTube offers."""


@dataclass(frozen=True)
class YouTubeSource:
    """Every video behind URLs, video ids, channels, handles, playlists and feeds, once.

        YouTubeSource(["@handle", "https://..."], max_height=720)
        YouTubeSource.from_file("urls.txt", licence="cc")

    Checking terms of service and rights is up to you: docs/youtube.md.
    """

    entries: Sequence[str] = field(repr=False)
    """Users and passwords in them move to `connection.credentials`."""
    _: KW_ONLY
    max_height: int = 720
    """Height to download, in lines. Lower videos are rejected; none is upscaled."""
    on_low_resolution: OnLowResolution = "reject"
    """"keep" accepts lower videos too; their `format` says so."""
    licence: LicenceFilter = "any"
    """"cc" accepts only Creative Commons without NC and ND."""
    hdr: HdrMode = "reject"
    """"tonemap" converts videos that exist in high dynamic range only to BT.709."""
    deinterlace: DeinterlaceMode = "auto"
    """"off" keeps interlaced and telecined frames as they are, "reject" leaves them out."""
    keep_sources: bool = True
    """False deletes a video as soon as its clips are written and verified."""
    as_of: str = ""
    """Any text, such as a date. Lists are stored in the ledger; a new value lists again."""
    connection: Connection = field(default_factory=Connection)
    rate_limits: RateLimits = field(default_factory=RateLimits)
    lock: SourcesLock | None = None
    """Download exactly these videos instead of those that the entries list."""
    allow_drift: bool = False

    def __post_init__(self) -> None:
        entries = (self.entries,) if isinstance(self.entries, str) else tuple(self.entries)
        known = {host: c for entry in entries for host, c in _credentials_of(entry).items()}
        credentials = {**self.connection.credentials, **known}
        entries = tuple(map(strip_credentials, entries))
        object.__setattr__(self, "entries", entries)
        object.__setattr__(self, "connection", replace(self.connection, credentials=credentials))
        for entry in entries:
            listing_of(entry)
        if self.max_height < 1:
            raise UsageError(f"max_height={self.max_height} must be a number of lines, such as 720")
        check_choice("on_low_resolution", self.on_low_resolution, get_args(OnLowResolution))
        check_choice("licence", self.licence, get_args(LicenceFilter))
        check_choice("hdr", self.hdr, get_args(HdrMode))
        check_choice("deinterlace", self.deinterlace, get_args(DeinterlaceMode))

    @classmethod
    def from_file(cls, path: str | Path, **settings: Any) -> Self:
        """Read entries from a text file, one a line, `#` for comments; settings as of the class."""
        return cls(tuple(read_entries(path)), **settings)

    def items(self) -> Iterator[Listing]:
        """Yield the entries as listings; ListVideos resolves them."""
        if self.lock is not None:
            urls = {listing.source_id: listing.url for listing in map(listing_of, self.entries)}
            for video in self.lock.videos:
                url = urls.get(video.source_id, video.url)
                yield Listing(source_id=video.source_id, url=url)
            return
        if not self.entries:
            raise UsageError(
                "YouTubeSource() has no entries: give a channel, a playlist or a video"
            )
        listings = {listing.id: listing for listing in map(listing_of, self.entries)}.values()
        if secret := sum(has_secret(listing.url) for listing in listings):
            log.warning(
                "%d addresses hold a token: it stays in the private ledger.sqlite, and rows, lock "
                "file and messages have a digest in its place",
                secret,
            )
        yield from listings

    def stages(self) -> tuple[Stage[Any, Any], ...]:
        """Return the stages that list and download, or that download the videos of a lock file."""
        common: dict[str, Any] = {"connection": self.connection, "rate_limits": self.rate_limits}
        settings: dict[str, Any] = {
            **common,
            "max_height": self.max_height,
            "on_low_resolution": self.on_low_resolution,
            "licence": self.licence,
            "hdr": self.hdr,
            "deinterlace": self.deinterlace,
            "keep_sources": self.keep_sources,
        }
        if self.lock is not None:
            return (RefetchVideo(lock=self.lock, allow_drift=self.allow_drift, **settings),)
        return (ListVideos(as_of=self.as_of, **common), FetchVideo(**settings))

    def locked(self, folder: Path, *, allow_drift: bool = False) -> Self:
        """Return this source restricted to the lock file of a folder."""
        return replace(self, lock=SourcesLock.read(folder), allow_drift=allow_drift)

    def forecast(self, videos: Sequence[Listing]) -> DownloadForecast:
        """Forecast bytes and wall time of downloading these videos."""
        return forecast_download(videos, self.rate_limits, self.max_height)

    @contextmanager
    def open_refetch(self, work: Path) -> Iterator[RefetchFunction]:
        """Yield a function that downloads a listed video again; all its calls share the limits."""
        throttle = Throttle(self.rate_limits)

        def refetch(listing: Listing, height: int) -> Video:
            stage = FetchVideo(
                max_height=max(MIN_REFETCH_HEIGHT, height),
                on_low_resolution="keep",
                hdr="tonemap",
                connection=self.connection,
                rate_limits=self.rate_limits,
            )
            (video,) = stage.apply(listing, stage.answer(stage.fetch(listing, work, throttle)))
            if isinstance(video, Rejected):
                raise video
            return video

        yield refetch

    def finish(self, work: Path, done: Sequence[str]) -> None:
        """Write the lock file after a pass, and warn of videos without an open licence.

        done: source ids of all videos downloaded, in this pass or before.
        """
        files = [self._source_file(work, source_id) for source_id in sorted(set(done))]
        videos = [metadata for file in files if (metadata := file.metadata()) is not None]
        record_downloads(work, videos, with_lock=self.lock is None or self.allow_drift)

    def _source_file(self, work: Path, source_id: str) -> SourceFile:
        return SourceFile.of(work, Listing(source_id=source_id), self.max_height)


def _credentials_of(entry: str) -> dict[str, str]:
    return credentials_of(entry) if "://" in entry else {}
