"""Download exactly the videos of a lock file, and report each that is not available."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from brickfilm.errors import Failed, Rejected
from brickfilm.records import Listing
from brickfilm.sources.base import SourceFile, SourceMetadata
from brickfilm.sources.base.lock import (
    LockedVideo,
    SourcesLock,
    check_bytes,
    format_gone_error,
    video_gone_error,
)
from brickfilm.sources.youtube.fetch import FetchVideo
from brickfilm.sources.youtube.formats import NotOpenlyLicensed, SourceTooSmall
from brickfilm.sources.youtube.throttle import Throttle, call_throttled


@dataclass(frozen=True, kw_only=True)
class RefetchVideo(FetchVideo):
    """Download a video with exactly the bytes of the lock file; SourceDrifted if that fails.

    allow_drift: accept other bytes of the same format, or the best format if that one is gone.
    """

    version: ClassVar[int] = 1

    lock: SourcesLock = field(compare=False)
    allow_drift: bool = False

    def key(self, item: Listing) -> str:
        return f"{item.id}@{self.lock.video(item.source_id).sha256}"

    def fetch(self, listing: Listing, work: Path, throttle: Throttle) -> SourceMetadata:
        """Return a video's metadata, after downloading it if its file is missing or damaged."""
        locked = self.lock.video(listing.source_id)
        source_file = self.source_file(work, listing)
        metadata = source_file.verified_metadata() or self.finish_interrupted(source_file)
        if metadata is None:
            metadata = self._download_locked(listing, locked, source_file, throttle)
        if not self.allow_drift:
            check_bytes(locked, metadata["sha256"])
        return metadata

    def _download_locked(
        self, listing: Listing, locked: LockedVideo, source_file: SourceFile, throttle: Throttle
    ) -> SourceMetadata:
        strict = not self.allow_drift
        try:
            return call_throttled(
                lambda: self.download(listing, source_file, wanted=locked.format_id, strict=strict),
                throttle,
            )
        except (NotOpenlyLicensed, SourceTooSmall):
            raise
        except Rejected as gone:
            raise video_gone_error(locked, gone) from gone
        except Failed as error:
            if error.reason == "format gone":
                raise format_gone_error(locked) from error
            raise
