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
    Lock,
    LockedFilm,
    check_bytes,
    format_gone,
    video_gone,
)
from brickfilm.sources.youtube.media_files import Facts, Place
from brickfilm.sources.youtube.throttle import Pace, patiently


@dataclass(frozen=True, kw_only=True)
class RefetchFilm(FetchFilm):
    """A film with exactly the bytes that the lock file names, or a word why not.

    allow_drift: take other bytes of the same format, or the best format where that one is gone.
    """

    version: ClassVar[int] = 1

    lock: Lock = field(compare=False)
    allow_drift: bool = False

    def key(self, item: Listing) -> str:
        return f"{item.id}@{self.lock.film(item.source_id).sha256}"

    def film(self, listing: Listing, work: Path, pace: Pace) -> Facts:
        """From the disk if it is there and whole, else from the site."""
        locked = self.lock.film(listing.source_id)
        place = Place.of(work, listing, self.max_height)
        known = self._still_whole(place) or self.finished(place)
        if known is None:
            known = self._again(listing, locked, place, pace)
        if not self.allow_drift:
            check_bytes(locked, known["sha256"])
        return known

    def _still_whole(self, place: Place) -> Facts | None:
        """The facts, if the file still has the bytes they tell of (a lock is a promise)."""
        from brickfilm.media import sha256_of

        facts = place.facts()
        if facts is None:
            return None
        path = place.work / facts["path"]
        if path.is_file() and sha256_of(path) != facts["sha256"]:
            place.discard()
            return None
        return facts

    def _again(self, listing: Listing, locked: LockedFilm, place: Place, pace: Pace) -> Facts:
        strict = not self.allow_drift
        try:
            return patiently(
                lambda: self.fetched(listing, place, wanted=locked.format_id, strict=strict), pace
            )
        except (NotOpenlyLicensed, SourceTooSmall):
            raise
        except Rejected as gone:
            raise video_gone(locked, gone) from gone
        except Failed as error:
            if error.reason == "format gone":
                raise format_gone(locked) from error
            raise
