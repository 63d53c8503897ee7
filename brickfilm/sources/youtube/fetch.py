"""Download listed videos: extract, filter, download, probe; a finished video is never repeated."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from brickfilm.engine.stage import Answer, Resources
from brickfilm.errors import Rejected
from brickfilm.records import Listing
from brickfilm.schema.public_text import public_url
from brickfilm.sources.base import (
    DownloadStage,
    SourceFile,
    SourceMetadata,
    count_fetched_last_day,
)
from brickfilm.sources.base.active_downloads import ActiveDownloads
from brickfilm.sources.youtube import formats, ytdlp
from brickfilm.sources.youtube.formats import InfoDict, LicenceFilter, OnLowResolution
from brickfilm.sources.youtube.settings import Connection, RateLimits
from brickfilm.sources.youtube.throttle import Throttle, call_throttled

if TYPE_CHECKING:
    from brickfilm.media import VideoInfo

log = logging.getLogger(__name__)

PLAN_MAX_AGE_SECONDS = 3600.0
"""Maximum age of a download plan that is resumed: media URLs expire."""


@dataclass(frozen=True, kw_only=True)
class FetchVideo(DownloadStage):
    """Download a listed video at `max_height` lines, or the nearest height that the site offers."""

    version: ClassVar[int] = 1

    max_height: int
    on_low_resolution: OnLowResolution = "reject"
    licence: LicenceFilter = "any"
    connection: Connection = field(default=Connection(), compare=False)
    rate_limits: RateLimits = field(default=RateLimits(), compare=False)
    downloads: ActiveDownloads = field(default_factory=ActiveDownloads, compare=False, repr=False)

    def check(self) -> None:
        """Raise UsageError for settings that would fail for every video."""
        ytdlp.check_connection(self.connection)

    def active_downloads(self) -> list[str]:
        """Return a progress line for each active download."""
        return self.downloads.lines()

    @property
    def resources(self) -> Resources:
        return Resources(pool="thread", concurrency=self.rate_limits.concurrency)

    @contextmanager
    def open(self, work: Path) -> Iterator[Callable[[Listing], Answer]]:
        if warning := ytdlp.staleness_warning(ytdlp.ytdlp_version(), datetime.now(UTC).date()):
            log.warning("%s", warning)
        throttle = Throttle(
            self.rate_limits, count_fetched_last_day(work) if self.rate_limits.daily_cap else 0
        )
        yield lambda listing: self.answer(self.fetch(listing, work, throttle))

    def source_file(self, work: Path, listing: Listing) -> SourceFile:
        """Return the file of a video; its name depends on `max_height` and no other setting."""
        return SourceFile.of(work, listing, self.max_height)

    def fetch(self, listing: Listing, work: Path, throttle: Throttle) -> SourceMetadata:
        """Return a video's metadata from its sidecar, after downloading it if necessary."""
        source_file = self.source_file(work, listing)
        metadata = source_file.metadata() or self.finish_interrupted(source_file)
        if metadata is None:
            metadata = call_throttled(lambda: self.download(listing, source_file), throttle)
        metadata = source_file.with_picture(metadata)
        try:
            self.check_filters(metadata)
        except Rejected:
            if not self.keep_sources:
                source_file.delete_media()
            raise
        return metadata

    def finish_interrupted(self, source_file: SourceFile) -> SourceMetadata | None:
        """Finish a video that was downloaded completely when a run was killed; None otherwise."""
        plan = source_file.plan()
        if plan is None:
            return None
        draft = source_file.draft(plan["format_id"], plan["ext"])
        return self._finalize(source_file, plan, draft) if draft.is_file() else None

    def download(self, listing: Listing, source_file: SourceFile, **wanted: Any) -> SourceMetadata:
        """Choose a format, check the filters, download and probe a video.

        wanted: `wanted` and `strict` of `formats.format_selector`.
        """
        options: dict[str, Any] = {
            "format": formats.format_selector(**wanted),
            "format_sort": formats.format_sort(self.max_height),
            "shown_warnings": self.downloads.shown_warnings,
        }
        track = self.downloads.track(listing)
        session = partial(ytdlp.open_session, listing, self.connection, self.rate_limits, **options)
        with track as progress_hook, session(progress_hook=progress_hook) as ytdl:
            info = self._resumable(source_file, **wanted) or self._extract_info(ytdl, listing)
            plan = ytdlp.plan_from_info(info) | listing_fields(listing, info)
            source_file.write_plan(plan)
            draft = source_file.draft(info["format_id"], info["ext"])
            ytdl.download(info, draft)
        return self._finalize(source_file, plan, draft)

    def _extract_info(self, ytdl: ytdlp.YtdlpSession, listing: Listing) -> InfoDict:
        """Extract a video's information and check it against the filters."""
        info = ytdl.extract_info(listing.url, _entry_id(listing))
        formats.check_not_live(info)
        formats.check_licence(info, self.licence)
        formats.check_height(info, self.max_height, self.on_low_resolution)
        if self.hdr == "reject":
            formats.check_dynamic_range(info)
        return info

    def _resumable(
        self, source_file: SourceFile, wanted: str | None = None, **_: Any
    ) -> InfoDict | None:
        """Return the plan of an interrupted download if its media URL is still valid."""
        plan = source_file.plan()
        if (
            plan is None
            or plan.get("extractor_key") == "Youtube"  # its media URLs belong to one session
            or plan.get("protocol") not in ("http", "https")
            or "url" not in plan  # it holds a token
            or wanted not in (None, plan["format_id"])
            or time.time() - plan["planned_at"] > PLAN_MAX_AGE_SECONDS
        ):
            return None
        part = source_file.draft(plan["format_id"], plan["ext"])
        return plan if part.with_name(f"{part.name}.part").is_file() else None

    def _finalize(
        self, source_file: SourceFile, plan: SourceMetadata, draft: Path
    ) -> SourceMetadata:
        """Finish a complete download with the site's metadata."""
        return source_file.finish(
            draft, plan["ext"], lambda info: build_metadata(plan, info, self.max_height)
        )

    def check_filters(self, metadata: SourceMetadata) -> None:
        """Apply the current filters: the video may have been downloaded with other settings."""
        formats.check_licence({"license": metadata["licence"], **metadata}, self.licence)
        formats.check_height(metadata, self.max_height, self.on_low_resolution)


def _entry_id(listing: Listing) -> str:
    """Return the id of a video on a page with several; a single video's is never looked up."""
    return listing.source_id.removeprefix(f"{public_url(listing.url)}#")


def listing_fields(listing: Listing, info: InfoDict) -> dict[str, Any]:
    """Return source id, URL and title of a video; a list's title precedes the file's."""
    title = listing.title or info.get("title") or ""
    return {"source_id": listing.source_id, "source_url": public_url(listing.url), "title": title}


def build_metadata(plan: SourceMetadata, info: VideoInfo, max_height: int) -> dict[str, Any]:
    """Return the site's metadata of a download, its format described with the file's size."""
    size = {"width": info.width, "height": info.height}
    names = ("title", "uploader", "channel", "upload_date")
    return {
        "source_id": plan["source_id"],
        "url": plan["source_url"],
        **{name: plan.get(name) or "" for name in names},
        "licence": formats.licence_of(plan),
        "format_id": plan["format_id"],
        "format": formats.describe_format({**plan, **size}, max_height),
        "tool": ytdlp.ytdlp_version(),
    }
