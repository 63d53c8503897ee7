"""Turn rows of a list into videos with their spans: one video an address."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from brickfilm.captions.caption_files import NestedCell
from brickfilm.errors import UsageError
from brickfilm.records import GivenSpan, Listing
from brickfilm.schema.public_text import public_url
from brickfilm.sources.remote.addresses import split_member
from brickfilm.sources.remote.source import located

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "url": ("url", "video_url", "source_url", "link"),
    "id": ("source_id", "video_id", "videoid", "id"),
    "start": ("start", "start_seconds", "start_time"),
    "end": ("end", "end_seconds", "end_time"),
    "caption": ("caption", "text"),
    "licence": ("licence", "license"),
    "uploader": ("uploader", "author", "creator"),
    "title": ("title", "source_title"),
}
"""What a row may say, to the names that a column of it may have, in any case of letters."""


LineError = Callable[[str], UsageError]
"""Makes an error of a problem that names the line of a row."""


def error_naming(name: str) -> LineError:
    """Return a function that makes an error of a problem, with a name before it."""
    return lambda problem: UsageError(f"{name}: {problem}")


@dataclass(frozen=True)
class ListedRow:
    """One row of a list: texts by what they say, '' for nothing."""

    cells: Mapping[str, str]
    error: LineError

    def __post_init__(self) -> None:
        for what, cell in self.cells.items():
            if isinstance(cell, NestedCell):
                raise self.error(
                    f"{what} is a list or an object, {cell[:40]}, but a text is expected: name "
                    f"another column with --column {what}=NAME"
                )

    def span(self) -> GivenSpan | None:
        """Return the span of the row; all of the video if it has only a caption, None if neither.

        A caption describes what it stands beside: a whole file, whose parts it would not fit.
        """
        start, end = self.cells.get("start", ""), self.cells.get("end", "")
        caption = self.cells.get("caption", "")
        if not start and not end:
            return GivenSpan(caption=caption) if caption else None
        if not start or not end:
            raise self.error(f"{'end' if start else 'start'} is given without the other time")
        span = GivenSpan(start=self._seconds(start), end=self._seconds(end), caption=caption)
        if span.end <= span.start:
            raise self.error(f"end={end} is not after start={start}")
        return span

    def _seconds(self, time: str) -> float:
        """Return seconds of 12.5, 1:02.5 or 00:01:02.500."""
        try:
            parts = [float(part) for part in time.split(":")]
        except ValueError:
            parts = []
        if not 1 <= len(parts) <= 3 or any(not 0 <= part < float("inf") for part in parts):
            raise self.error(f"{time!r} is no time: give seconds, or hours:minutes:seconds")
        hours, minutes, seconds = [0.0, 0.0, *parts][-3:]
        return 3600 * hours + 60 * minutes + seconds


@dataclass
class _ListedVideo:
    """The rows of one address."""

    rows: list[ListedRow] = field(default_factory=list)

    def text(self, name: str) -> str:
        """Return what the rows say of the whole video; UsageError if they contradict each other."""
        found = {row.cells[name]: row for row in self.rows if row.cells.get(name)}
        if len(found) > 1:
            first, second, *_ = found
            raise found[second].error(
                f"{name} {second!r}, but another row of the same video has {first!r}"
            )
        return next(iter(found), "")

    def spans(self) -> tuple[GivenSpan, ...]:
        spans: dict[tuple[float, float], GivenSpan] = {}
        for row in self.rows:
            if span := row.span():
                known = spans.setdefault((span.start, span.end), span)
                if known != span:
                    raise row.error(
                        f"another row has the same span {span.start:g}-{span.end:g} s of "
                        "this video, and another caption"
                    )
        return tuple(sorted(spans.values()))


def columns_of(names: Sequence[str], given: Mapping[str, str], error: LineError) -> dict[str, str]:
    """Return the column of everything that rows say; UsageError for a given one that is missing."""
    if unknown := sorted(given.keys() - COLUMNS.keys()):
        raise error(f"{unknown[0]!r} is none of {', '.join(COLUMNS)}")
    lower = {name.lower(): name for name in reversed(names)}
    for what, column in given.items():
        if column and column not in names:
            raise error(f"no column {column!r} for {what}: its columns are {', '.join(names)}")
    found = {
        what: next((lower[alias] for alias in aliases if alias in lower), "")
        for what, aliases in COLUMNS.items()
    }
    return {what: column for what, column in (found | dict(given)).items() if column}


def videos_of_rows(rows: Iterable[ListedRow], defaults: Mapping[str, str]) -> Iterator[Listing]:
    """Yield one listing an address, in the order of the rows.

    Its id is the rows' id; if they have several, these name rows, and the address is the id. Two
    addresses with one id are an error. defaults: licence and uploader of rows without.
    """
    videos: dict[str, _ListedVideo] = {}
    for row in rows:
        videos.setdefault(row.cells["url"], _ListedVideo()).rows.append(row)
    lines: dict[str, ListedRow] = {}
    for url, video in videos.items():
        ids = {row.cells["id"] for row in video.rows if row.cells.get("id")}
        source_id = ids.pop() if len(ids) == 1 else public_url(url)
        if source_id in lines:
            raise video.rows[0].error(
                f"the id {source_id!r} names another address in an earlier row: give each video "
                "an id of its own, or none"
            )
        lines[source_id] = video.rows[0]
        yield Listing(
            source_id=source_id,
            spans=video.spans(),
            licence=video.text("licence") or defaults["licence"],
            uploader=video.text("uploader") or defaults["uploader"],
            title=video.text("title") or title_of(url),
            **located(url),
        )


def title_of(address: str) -> str:
    """Return the name of the file at an address, without its suffix."""
    base, member = split_member(address)
    path = PurePosixPath(unquote(member or urlsplit(base).path))
    return path.stem or base
