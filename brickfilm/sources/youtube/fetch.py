"""Fetching as a stage: looked at, judged, downloaded, judged again, and never done twice."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from brickfilm.engine.stage import Answer, Resources, Stage
from brickfilm.errors import MediaError, Rejected
from brickfilm.records import Listing, Video
from brickfilm.sources.youtube import formats, ytdlp
from brickfilm.sources.youtube.downloads import ActiveDownloads
from brickfilm.sources.youtube.formats import InfoDict, LicenceFilter, OnLowResolution
from brickfilm.sources.youtube.media_files import SourceFile, SourceMetadata, count_fetched_last_day
from brickfilm.sources.youtube.settings import Connection, RateLimits
from brickfilm.sources.youtube.throttle import Throttle, call_throttled

log = logging.getLogger(__name__)

PLAN_MAX_AGE_SECONDS = 3600.0
"""A plan older than this is made anew: addresses of media expire."""


@dataclass(frozen=True, kw_only=True)
class FetchFilm(Stage[Listing, Video]):
    """A listed film on disk, at `max_height` lines where the site has them."""

    version: ClassVar[int] = 1
    input_types = (Listing,)
    output_types = (Video,)

    max_height: int
    on_low_resolution: OnLowResolution = "reject"
    licence: LicenceFilter = "any"
    keep_sources: bool = field(default=True, compare=False)
    connection: Connection = field(default=Connection(), compare=False)
    rate_limits: RateLimits = field(default=RateLimits(), compare=False)
    downloads: ActiveDownloads = field(default_factory=ActiveDownloads, compare=False, repr=False)

    def check(self) -> None:
        ytdlp.check_connection(self.connection)

    def active_downloads(self) -> list[str]:
        """What flies this moment, for people."""
        return self.downloads.lines()

    @property
    def resources(self) -> Resources:
        return Resources(pool="thread", concurrency=self.rate_limits.concurrency)

    @contextmanager
    def open(self, work: Path) -> Iterator[Callable[[Listing], Answer]]:
        if warning := ytdlp.staleness_warning(ytdlp.ytdlp_version(), datetime.now(UTC).date()):
            log.warning("%s", warning)
        pace = Throttle(
            self.rate_limits, count_fetched_last_day(work) if self.rate_limits.daily_cap else 0
        )
        yield lambda listing: self.answer(self.film(listing, work, pace))

    def film(self, listing: Listing, work: Path, pace: Throttle) -> SourceMetadata:
        """From the sidecar if the film is there, else from the site."""
        source_file = SourceFile.of(work, listing, self.max_height)
        known = source_file.metadata() or self.finish_interrupted(source_file)
        if known is None:
            known = call_throttled(lambda: self.download(listing, source_file), pace)
        try:
            self.check_filters(known)
        except Rejected:
            if not self.keep_sources:
                source_file.delete_media()
            raise
        return known

    def finish_interrupted(self, source_file: SourceFile) -> SourceMetadata | None:
        """The facts of a film that was whole on disk when a run was killed."""
        plan = source_file.plan()
        if plan is None:
            return None
        draft = source_file.draft(plan["format_id"], plan["ext"])
        return self._finalize(source_file, plan, draft) if draft.is_file() else None

    def download(self, listing: Listing, source_file: SourceFile, **wanted: Any) -> SourceMetadata:
        """Look, judge, download, judge again.

        wanted: `wanted` and `strict`, for the format (see `formats.selector`).
        """
        options: dict[str, Any] = {
            "format": formats.format_selector(**wanted),
            "format_sort": formats.format_sort(self.max_height),
            "shown_warnings": self.downloads.shown_warnings,
        }
        track = self.downloads.track(listing)
        session = partial(ytdlp.open_session, listing, self.connection, self.rate_limits, **options)
        with track as progress_hook, session(progress_hook=progress_hook) as ytdlp_session:
            info = self._resumable(source_file, **wanted) or self._extract_info(
                ytdlp_session, listing
            )
            plan = ytdlp.plan_from_info(info) | listing_fields(listing, info)
            source_file.write_plan(plan)
            draft = source_file.draft(info["format_id"], info["ext"])
            ytdlp_session.download(info, draft)
        return self._finalize(source_file, plan, draft)

    def _extract_info(self, ytdlp_session: ytdlp.YtdlpSession, listing: Listing) -> InfoDict:
        info = ytdlp_session.extract_info(
            listing.url, listing.source_id.removeprefix(f"{listing.url}#")
        )
        formats.check_not_live(info)
        formats.check_licence(info, self.licence)
        formats.check_height(info, self.max_height, self.on_low_resolution)
        formats.check_dynamic_range(info)
        return info

    def _resumable(
        self, source_file: SourceFile, wanted: str | None = None, **_: Any
    ) -> InfoDict | None:
        """The plan of an interrupted download, where its address still leads to the same file."""
        plan = source_file.plan()
        if (
            plan is None
            or plan.get("extractor_key") == "Youtube"  # its addresses belong to one session
            or plan.get("protocol") not in ("http", "https")
            or wanted not in (None, plan["format_id"])
            or time.time() - plan["planned_at"] > PLAN_MAX_AGE_SECONDS
        ):
            return None
        part = source_file.draft(plan["format_id"], plan["ext"])
        return plan if part.with_name(f"{part.name}.part").is_file() else None

    def _finalize(
        self, source_file: SourceFile, plan: SourceMetadata, draft: Path
    ) -> SourceMetadata:
        """Probe a film that has arrived, write its facts down, and give it its name."""
        from brickfilm.media import probe, sha256_of

        try:
            seen = probe(draft)
        except MediaError:
            source_file.delete_all()  # an error page, or a body cut short: the next run starts over
            raise
        metadata = build_metadata(plan, seen, self.max_height) | {
            "path": str(source_file.named(digest := sha256_of(draft), plan["ext"])),
            "sha256": digest,
            "bytes": draft.stat().st_size,
            "tool": ytdlp.ytdlp_version(),
            "fetched_at": time.time(),
        }
        source_file.finalize(draft, metadata)
        return metadata

    def check_filters(self, metadata: SourceMetadata) -> None:
        """Judge a film on disk by today's settings: they may not be those it was fetched with."""
        formats.check_licence({"license": metadata["licence"], **metadata}, self.licence)
        formats.check_height(metadata, self.max_height, self.on_low_resolution)

    def release_source(self, item: Listing, work: Path) -> None:
        if not self.keep_sources:
            SourceFile.of(work, item, self.max_height).delete_media()

    def request_source_refetch(self, item: Listing, work: Path) -> bool:
        SourceFile.of(work, item, self.max_height).request_refetch()
        return True

    def answer(self, metadata: SourceMetadata) -> Answer:
        """The facts; the file itself is part of the answer only where it is meant to stay."""
        file = {"path": metadata["path"], "sha256": metadata["sha256"]}
        return {"film": dict(metadata), "files": [file] if self.keep_sources else []}

    def apply(self, item: Listing, answer: Answer) -> Iterable[Video]:
        film = answer["film"]
        names = ("sha256", "width", "height", "duration", "title", "uploader", "channel")
        yield Video(
            path=Path(film["path"]),
            source_id=item.source_id,
            url=item.url,
            fps=Fraction(film["fps"]),
            time_base=Fraction(film["time_base"]),
            **{name: film[name] for name in (*names, "upload_date", "licence", "format", "tool")},
        )


def listing_fields(listing: Listing, info: InfoDict) -> dict[str, Any]:
    """The names under which a film was listed; a list's title says more than a file's name."""
    title = listing.title or info.get("title") or ""
    return {"source_id": listing.source_id, "source_url": listing.url, "title": title}


def build_metadata(plan: SourceMetadata, seen: Any, max_height: int) -> dict[str, Any]:
    """What the site told of a film, and what its file shows (the file is right about sizes)."""
    size = {"width": seen.width, "height": seen.height}
    told = ("title", "uploader", "channel", "upload_date")
    return {
        "source_id": plan["source_id"],
        "url": plan["source_url"],
        **{name: plan.get(name) or "" for name in told},
        "licence": formats.licence_of(plan),
        "format_id": plan["format_id"],
        "format": formats.describe_format({**plan, **size}, max_height),
        "fps": str(seen.fps),
        "time_base": str(seen.time_base),
        "duration": seen.duration,
        **size,
    }
