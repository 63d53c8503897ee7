"""RemoteSource, the base of sources whose videos have addresses."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self, get_args
from urllib.parse import unquote, urlsplit

from brickfilm.engine.stage import Stage
from brickfilm.errors import ItemError, Rejected
from brickfilm.records import DeinterlaceMode, HdrMode, Listing, Video
from brickfilm.schema.licences import check_licence_is_known
from brickfilm.schema.plural import pluralize
from brickfilm.schema.public_text import credentials_of, public_url, strip_credentials
from brickfilm.sources.base import RefetchFunction, all_source_metadata, check_choice
from brickfilm.sources.base.lock import SourcesLock, record_downloads
from brickfilm.sources.remote.addresses import SCHEMES, Access
from brickfilm.sources.remote.fetch import FetchFile


@dataclass(frozen=True, kw_only=True)
class RemoteSource:
    """Videos by address; subclasses define `listings`. Without any it only fetches rows again."""

    schemes: ClassVar[tuple[str, ...]] = SCHEMES
    """Schemes of the URLs that it can download."""

    licence: str = ""
    uploader: str = ""
    """Of videos for which nothing else states them."""
    hdr: HdrMode = "reject"
    deinterlace: DeinterlaceMode = "auto"
    keep_sources: bool = True
    """False deletes a video as soon as its clips are written and verified."""
    allow_private: bool = False
    """True downloads from addresses of this machine and its network too."""
    access: Access = field(default=Access(), repr=False)
    lock: SourcesLock | None = field(default=None, repr=False)
    """Download exactly these videos."""
    allow_drift: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        check_licence_is_known(self.licence)
        check_choice("hdr", self.hdr, get_args(HdrMode))
        check_choice("deinterlace", self.deinterlace, get_args(DeinterlaceMode))

    @property
    def has_captions(self) -> bool:
        """Return True if captions come with the videos."""
        videos = (item for item in self.listed if isinstance(item, Listing))
        return any(span.caption for video in videos for span in video.spans)

    @cached_property
    def listed(self) -> Sequence[Listing | ItemError]:
        """Return the videos, listed once."""
        return list(self.listings())

    def listings(self) -> Iterator[Listing | ItemError]:
        """Yield the videos, without downloading any."""
        yield from ()

    def items(self) -> Iterator[Listing | ItemError]:
        """Yield the videos, with a lock only those in it."""
        if self.lock is None:
            yield from self.listed
            return
        listed = {v.source_id: v for v in self.listed if isinstance(v, Listing)}
        for video in self.lock.videos:
            yield listed.get(video.source_id) or Listing(
                source_id=video.source_id,
                url=video.url,
                title=video.title,
                licence=video.licence,
            )

    def stages(self) -> tuple[Stage[Any, Any], ...]:
        return (self.fetch_stage(self.full_access()),)

    def full_access(self) -> Access:
        """Return the access with what this source's own addresses need."""
        allow = self.allow_private or self.access.allow_private
        return replace(self.access, allow_private=allow)

    def fetch_stage(self, access: Access) -> FetchFile:
        """Return the stage that downloads."""
        return FetchFile(
            hdr=self.hdr,
            deinterlace=self.deinterlace,
            keep_sources=self.keep_sources,
            lock=self.lock,
            allow_drift=self.allow_drift,
            access=access,
        )

    def locked(self, folder: Path, *, allow_drift: bool = False) -> Self:
        """Return this source restricted to the lock file of a folder."""
        return replace(self, lock=SourcesLock.read(folder), allow_drift=allow_drift)

    def forecast(self, videos: Sequence[Listing]) -> str:
        """Say what would be downloaded."""
        unknown = sum(not video.bytes for video in videos)
        total = sum(video.bytes for video in videos)
        sizes = f", {total / 1e6:.1f} MB" if total else ""
        return f"{pluralize(len(videos), 'file')} to download{sizes}" + (
            f"; {unknown} of unknown size" if unknown else ""
        )

    @contextmanager
    def open_refetch(self, work: Path) -> Iterator[RefetchFunction]:
        """Yield a function that downloads a row's video again, from wherever the caller allows."""
        access = self.full_access()
        known = {**hub_credentials(), **access.credentials}
        access = replace(access, allow_private=True, credentials=known)
        stage = replace(self.fetch_stage(access), hdr="tonemap", lock=None, keep_sources=True)
        with stage.open(work) as compute:

            def refetch(listing: Listing, height: int) -> Video:
                (video,) = stage.apply(listing, compute(listing))
                if isinstance(video, Rejected):
                    raise video
                return video

            yield refetch

    def finish(self, work: Path, done: Sequence[str]) -> None:
        """Write the lock file after a pass, and warn of videos without an open licence.

        done: source ids of all videos downloaded, in this pass or before.
        """
        known = {m["source_id"]: m for m in all_source_metadata(work)}
        videos = [known[source_id] for source_id in sorted(set(done)) if source_id in known]
        record_downloads(work, videos, with_lock=self.lock is None or self.allow_drift)


def with_own(access: Access, urls: Iterable[str], credentials: Mapping[str, str]) -> Access:
    """Return the access, also to the hosts of URLs that the user wrote, and with credentials."""
    hosts = {host for url in urls if (host := host_of(url))}
    return replace(
        access,
        trusted_hosts=access.trusted_hosts | hosts,
        credentials={**access.credentials, **credentials},
    )


def basic_credentials(urls: Iterable[str]) -> dict[str, str]:
    """Return the header `Authorization` by host, of users and passwords in URLs."""
    found = (pair for url in urls if "://" in url for pair in credentials_of(url).items())
    return {
        host: f"Basic {base64.b64encode(unquote(userinfo).encode()).decode()}"
        for host, userinfo in found
    }


def located(url: str) -> dict[str, Any]:
    """Return `url` and `address` of a Listing: what may be published, and what is requested."""
    address = strip_credentials(url)
    public = public_url(url)
    return {"url": public} if public == address else {"url": public, "address": address}


def host_of(url: str) -> str:
    """Return the host's name of a URL, '' for a path."""
    return urlsplit(url).hostname or "" if "://" in url else ""


def hub_credentials(token: str | None = None) -> dict[str, str]:
    """Return the header `Authorization` of the Hub's host; by default of the user's own token."""
    from huggingface_hub import constants, get_token

    known = token or get_token()
    return {urlsplit(constants.ENDPOINT).netloc: f"Bearer {known}"} if known else {}
