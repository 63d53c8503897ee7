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
from brickfilm.sources.youtube.downloads import Downloads
from brickfilm.sources.youtube.formats import Info, Licence, OnLowResolution
from brickfilm.sources.youtube.media_files import Facts, Place, fetched_lately
from brickfilm.sources.youtube.settings import Access, Politeness
from brickfilm.sources.youtube.throttle import Pace, patiently

log = logging.getLogger(__name__)

PLAN_SECONDS = 3600.0
"""A plan older than this is made anew: addresses of media expire."""


@dataclass(frozen=True, kw_only=True)
class FetchFilm(Stage[Listing, Video]):
    """A listed film on disk, at `max_height` lines where the site has them."""

    version: ClassVar[int] = 1
    input_types = (Listing,)
    output_types = (Video,)

    max_height: int
    on_low_resolution: OnLowResolution = "reject"
    licence: Licence = "any"
    keep_sources: bool = field(default=True, compare=False)
    access: Access = field(default=Access(), compare=False)
    politeness: Politeness = field(default=Politeness(), compare=False)
    board: Downloads = field(default_factory=Downloads, compare=False, repr=False)

    def check(self) -> None:
        ytdlp.check_access(self.access)

    def active_downloads(self) -> list[str]:
        """What flies this moment, for people."""
        return self.board.lines()

    @property
    def resources(self) -> Resources:
        return Resources(pool="thread", concurrency=self.politeness.concurrency)

    @contextmanager
    def open(self, work: Path) -> Iterator[Callable[[Listing], Answer]]:
        if warning := ytdlp.staleness(ytdlp.tool(), datetime.now(UTC).date()):
            log.warning("%s", warning)
        pace = Pace(self.politeness, fetched_lately(work) if self.politeness.daily_cap else 0)
        yield lambda listing: self.answer(self.film(listing, work, pace))

    def film(self, listing: Listing, work: Path, pace: Pace) -> Facts:
        """From the sidecar if the film is there, else from the site."""
        place = Place.of(work, listing, self.max_height)
        known = place.facts() or self.finished(place)
        if known is None:
            known = patiently(lambda: self.fetched(listing, place), pace)
        try:
            self.judge(known)
        except Rejected:
            if not self.keep_sources:
                place.spend()
            raise
        return known

    def finished(self, place: Place) -> Facts | None:
        """The facts of a film that was whole on disk when a run was killed."""
        plan = place.plan()
        if plan is None:
            return None
        draft = place.draft(plan["format_id"], plan["ext"])
        return self._settled(place, plan, draft) if draft.is_file() else None

    def fetched(self, listing: Listing, place: Place, **wanted: Any) -> Facts:
        """Look, judge, download, judge again.

        wanted: `wanted` and `strict`, for the format (see `formats.selector`).
        """
        options: dict[str, Any] = {
            "format": formats.selector(**wanted),
            "format_sort": formats.preference(self.max_height),
            "told": self.board.told,
        }
        watching = self.board.watching(listing)
        session = partial(ytdlp.session, listing, self.access, self.politeness, **options)
        with watching as watch, session(watch=watch) as tube:
            info = self._resumable(place, **wanted) or self._looked_at(tube, listing)
            plan = ytdlp.planned(info) | named_by(listing, info)
            place.keep_plan(plan)
            draft = place.draft(info["format_id"], info["ext"])
            tube.fetch(info, draft)
        return self._settled(place, plan, draft)

    def _looked_at(self, tube: ytdlp.Session, listing: Listing) -> Info:
        info = tube.look(listing.url, listing.source_id.removeprefix(f"{listing.url}#"))
        formats.check_is_over(info)
        formats.check_licence(info, self.licence)
        formats.check_height(info, self.max_height, self.on_low_resolution)
        formats.check_range(info)
        return info

    def _resumable(self, place: Place, wanted: str | None = None, **_: Any) -> Info | None:
        """The plan of an interrupted download, where its address still leads to the same file."""
        plan = place.plan()
        if (
            plan is None
            or plan.get("extractor_key") == "Youtube"  # its addresses belong to one session
            or plan.get("protocol") not in ("http", "https")
            or wanted not in (None, plan["format_id"])
            or time.time() - plan["planned_at"] > PLAN_SECONDS
        ):
            return None
        part = place.draft(plan["format_id"], plan["ext"])
        return plan if part.with_name(f"{part.name}.part").is_file() else None

    def _settled(self, place: Place, plan: Facts, draft: Path) -> Facts:
        """Probe a film that has arrived, write its facts down, and give it its name."""
        from brickfilm.media import probe, sha256_of

        try:
            seen = probe(draft)
        except MediaError:
            place.discard()  # an error page, or a body cut short: the next run starts over
            raise
        facts = facts_of(plan, seen, self.max_height) | {
            "path": str(place.named(digest := sha256_of(draft), plan["ext"])),
            "sha256": digest,
            "bytes": draft.stat().st_size,
            "tool": ytdlp.tool(),
            "fetched_at": time.time(),
        }
        place.keep(draft, facts)
        return facts

    def judge(self, facts: Facts) -> None:
        """Judge a film on disk by today's settings: they may not be those it was fetched with."""
        formats.check_licence({"license": facts["licence"], **facts}, self.licence)
        formats.check_height(facts, self.max_height, self.on_low_resolution)

    def release_source(self, item: Listing, work: Path) -> None:
        if not self.keep_sources:
            Place.of(work, item, self.max_height).spend()

    def request_source_refetch(self, item: Listing, work: Path) -> bool:
        Place.of(work, item, self.max_height).request_refetch()
        return True

    def answer(self, facts: Facts) -> Answer:
        """The facts; the file itself is part of the answer only where it is meant to stay."""
        file = {"path": facts["path"], "sha256": facts["sha256"]}
        return {"film": dict(facts), "files": [file] if self.keep_sources else []}

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


def named_by(listing: Listing, info: Info) -> dict[str, Any]:
    """The names under which a film was listed; a list's title says more than a file's name."""
    title = listing.title or info.get("title") or ""
    return {"source_id": listing.source_id, "source_url": listing.url, "title": title}


def facts_of(plan: Facts, seen: Any, max_height: int) -> dict[str, Any]:
    """What the site told of a film, and what its file shows (the file is right about sizes)."""
    size = {"width": seen.concurrency, "height": seen.height}
    told = ("title", "uploader", "channel", "upload_date")
    return {
        "source_id": plan["source_id"],
        "url": plan["source_url"],
        **{name: plan.get(name) or "" for name in told},
        "licence": formats.licence_of(plan),
        "format_id": plan["format_id"],
        "format": formats.named({**plan, **size}, max_height),
        "fps": str(seen.fps),
        "time_base": str(seen.time_base),
        "duration": seen.duration,
        **size,
    }
