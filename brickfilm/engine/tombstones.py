"""Tombstones: records of removal requests, which every build in the work folder honours.

One line of JSON per request in `tombstones.jsonl`, easy to read and to copy to another folder.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from brickfilm.digest import with_digest, without_digest
from brickfilm.errors import Rejected, UsageError
from brickfilm.files import parse_json
from brickfilm.records import Clip, Image, Listing, Video

FILENAME = "tombstones.jsonl"
ID_PATTERN = re.compile(r"([0-9a-f]{16})(?:-(\d{6,})-(\d{6,}))?(?![0-9a-zA-Z])")
"""Prefix of the ids of videos, clips and stills, and of the files made from them."""


@dataclass(frozen=True)
class Tombstone:
    """One removal request, with every id under which the content could come back."""

    kind: str
    """source, clip or uploader"""
    name: str
    at: str
    """Date of the removal, ISO 8601."""
    sources: tuple[str, ...] = ()
    films: tuple[str, ...] = ()
    """Video ids, which come from the bytes: they match a video under any other name."""
    uploaders: tuple[str, ...] = ()
    spans: tuple[tuple[str, int, int], ...] = ()
    """(video id, start frame, end frame) of single clips; the end is exclusive."""
    clips: tuple[str, ...] = ()
    """Ids of the clips that were removed."""

    def covers(self, name: str) -> bool:
        """Return True if the request covers this source or id (of a video, a clip or a still)."""
        return name in self.sources or self.covers_id(name)

    def covers_id(self, name: str) -> bool:
        """Return True if the request covers this id or file; clips match by overlap of spans."""
        match = ID_PATTERN.match(name)
        if match is None:
            return False
        video, start, end = match.groups()
        if video in self.films or start is None:
            return video in self.films
        return any(
            video == removed and int(start) < last and first < int(end)
            for removed, first, last in self.spans
        )

    def merged_with(self, other: Tombstone) -> Tombstone:
        """Return the union of this tombstone and another one of the same request."""
        return replace(
            self,
            sources=tuple(sorted({*self.sources, *other.sources})),
            films=tuple(sorted({*self.films, *other.films})),
            uploaders=tuple(sorted({*self.uploaders, *other.uploaders})),
            spans=tuple(sorted({*self.spans, *other.spans})),
            clips=tuple(sorted({*self.clips, *other.clips})),
        )


@dataclass(frozen=True)
class Tombstones:
    """All tombstones of a work folder."""

    entries: Sequence[Tombstone] = field(default_factory=tuple)

    @classmethod
    def load(cls, work: Path) -> Tombstones:
        """Read the tombstones of a work folder; raise UsageError for a line that is damaged."""
        path = work / FILENAME
        lines = path.read_bytes().split(b"\n") if path.is_file() else []
        return cls(
            tuple(_parse_line(path, n, line) for n, line in enumerate(lines, 1) if line.strip())
        )

    @property
    def clips_removed(self) -> int:
        return len({clip for tombstone in self.entries for clip in tombstone.clips})

    def for_request(self, kind: str, name: str) -> list[Tombstone]:
        """Return the tombstones of one request, which may have been repeated."""
        return [
            tombstone
            for tombstone in self.entries
            if (tombstone.kind, tombstone.name) == (kind, name)
        ]

    def rejection_for(self, record: Any) -> Rejected | None:
        """Return the rejection of a record that was removed, or None."""
        if not self.entries or not self._covers(record):
            return None
        return Rejected(f"{record.id} was removed on request", reason="removed on request")

    def _covers(self, record: Any) -> bool:
        match record:
            case Listing():
                return record.source_id in self._sources
            case Video():
                return bool(
                    record.source_id in self._sources
                    or record.id in self._videos
                    or (record.uploader and record.uploader in self._uploaders)
                )
            case Clip():
                first, last = record.span.start_frame, record.span.end_frame
                removed = self._spans.get(record.video.id, ())
                overlaps = any(start < last and first < end for start, end in removed)
                return overlaps or self._covers(record.video)
            case Image():
                removed = self._spans.get(record.video.id, ())
                inside = any(start <= record.frame < end for start, end in removed)
                return inside or self._covers(record.clip)
        return False

    @cached_property
    def _sources(self) -> frozenset[str]:
        return frozenset(name for tombstone in self.entries for name in tombstone.sources)

    @cached_property
    def _videos(self) -> frozenset[str]:
        return frozenset(video for tombstone in self.entries for video in tombstone.films)

    @cached_property
    def _uploaders(self) -> frozenset[str]:
        return frozenset(name for tombstone in self.entries for name in tombstone.uploaders)

    @cached_property
    def _spans(self) -> dict[str, list[tuple[int, int]]]:
        spans: dict[str, list[tuple[int, int]]] = {}
        for tombstone in self.entries:
            for video, start, end in tombstone.spans:
                spans.setdefault(video, []).append((start, end))
        return spans


def write_tombstone(work: Path, tombstone: Tombstone) -> None:
    """Append a tombstone and flush it to disk, before anything is deleted."""
    with (work / FILENAME).open("a", encoding="utf-8") as file:
        file.write(json.dumps(with_digest(asdict(tombstone)), ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())


def join_tombstones(source: Path, target: Path) -> None:
    """Append the removal requests of one work folder that another does not have yet."""
    known = set(Tombstones.load(target).entries)
    for tombstone in Tombstones.load(source).entries:
        if tombstone not in known:
            write_tombstone(target, tombstone)


def _parse_line(path: Path, number: int, line: bytes) -> Tombstone:
    try:
        return _parse_tombstone(without_digest(parse_json(line)))
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"line {number} of {str(path)!r}, a removal request, is damaged ({error}): restore a "
            "copy of the file, or delete the line and repeat `brickfilm remove`"
        ) from error


def _parse_tombstone(stored: dict[str, Any]) -> Tombstone:
    lists = ("sources", "films", "uploaders", "clips")
    spans = tuple((str(video), int(start), int(end)) for video, start, end in stored["spans"])
    return Tombstone(**{**stored, **{name: tuple(stored[name]) for name in lists}, "spans": spans})
