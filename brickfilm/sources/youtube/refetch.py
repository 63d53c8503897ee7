"""Fetching what a lock file names, and saying film by film where that cannot be done."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from brickfilm.errors import Failed, Rejected
from brickfilm.records import Listing
from brickfilm.sources.youtube.fetch import FetchFilm
from brickfilm.sources.youtube.formats import NotOpenlyLicensed, SourceTooSmall
from brickfilm.sources.youtube.lock import (
    LockedVideo,
    SourcesLock,
    check_bytes,
    format_gone_error,
    video_gone_error,
)
from brickfilm.sources.youtube.media_files import SourceFile, SourceMetadata
from brickfilm.sources.youtube.throttle import Throttle, call_throttled


@dataclass(frozen=True, kw_only=True)
class RefetchFilm(FetchFilm):
    """A film with exactly the bytes that the lock file names, or a word why not.

    allow_drift: take other bytes of the same format, or the best format where that one is gone.
    """

    version: ClassVar[int] = 1

    lock: SourcesLock = field(compare=False)
    allow_drift: bool = False

    def key(self, item: Listing) -> str:
        return f"{item.id}@{self.lock.film(item.source_id).sha256}"

    def film(self, listing: Listing, work: Path, pace: Throttle) -> SourceMetadata:
        """From the disk if it is there and whole, else from the site."""
        locked = self.lock.film(listing.source_id)
        source_file = SourceFile.of(work, listing, self.max_height)
        known = self._verified_metadata(source_file) or self.finish_interrupted(source_file)
        if known is None:
            known = self._download_locked(listing, locked, source_file, pace)
        if not self.allow_drift:
            check_bytes(locked, known["sha256"])
        return known

    def _verified_metadata(self, source_file: SourceFile) -> SourceMetadata | None:
        """The facts, if the file still has the bytes they tell of (a lock is a promise)."""
        from brickfilm.media import sha256_of

        metadata = source_file.metadata()
        if metadata is None:
            return None
        path = source_file.work / metadata["path"]
        if path.is_file() and sha256_of(path) != metadata["sha256"]:
            source_file.delete_all()
            return None
        return metadata

    def _download_locked(
        self, listing: Listing, locked: LockedVideo, source_file: SourceFile, pace: Throttle
    ) -> SourceMetadata:
        strict = not self.allow_drift
        try:
            return call_throttled(
                lambda: self.download(listing, source_file, wanted=locked.format_id, strict=strict),
                pace,
            )
        except (NotOpenlyLicensed, SourceTooSmall):
            raise
        except Rejected as gone:
            raise video_gone_error(locked, gone) from gone
        except Failed as error:
            if error.reason == "format gone":
                raise format_gone_error(locked) from error
            raise
