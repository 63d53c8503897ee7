"""What was removed on request stays removed: marks in the work folder that every build honours.

One line of JSON a request, in `tombstones.jsonl`: readable, and easy to carry to another folder.
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

from brickfilm.errors import Rejected
from brickfilm.records import Clip, Image, Listing, Video

FILENAME = "tombstones.jsonl"
ID_PATTERN = re.compile(r"([0-9a-f]{16})(?:-(\d{6,})-(\d{6,}))?(?![0-9a-zA-Z])")
"""How the ids of films, clips and stills begin, and the names of the files made from them."""


@dataclass(frozen=True)
class Tombstone:
    """One request: what was asked, and every name by which it could come back."""

    kind: str
    """source, clip or uploader"""
    name: str
    at: str
    """Date of the removal, ISO 8601."""
    sources: tuple[str, ...] = ()
    films: tuple[str, ...] = ()
    """Film ids (from their bytes): a film that returns under another name is known."""
    uploaders: tuple[str, ...] = ()
    spans: tuple[tuple[str, int, int], ...] = ()
    """(film id, start frame, end frame) of single clips."""
    clips: tuple[str, ...] = ()
    """Ids of the clips that were taken out."""

    def covers(self, name: str) -> bool:
        """Whether a source, or the id of a film, a clip or a still is meant."""
        return name in self.sources or self.covers_id(name)

    def covers_id(self, name: str) -> bool:
        """Whether an id is meant, or a file that is named after one; a clip by its seconds."""
        place = ID_PATTERN.match(name)
        if place is None:
            return False
        film, start, end = place.groups()
        if film in self.films or start is None:
            return film in self.films
        return any(
            film == of and int(start) < last and first < int(end) for of, first, last in self.spans
        )

    def merged_with(self, other: Tombstone) -> Tombstone:
        """This mark with what another mark of the same request knows."""
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
    """All requests of a work folder; asks nothing where there were none."""

    entries: Sequence[Tombstone] = field(default_factory=tuple)

    @classmethod
    def load(cls, work: Path) -> Tombstones:
        path = work / FILENAME
        lines = path.read_text(encoding="utf-8").split("\n") if path.is_file() else []
        return cls(tuple(_parse_tombstone(json.loads(line)) for line in lines if line.strip()))

    @property
    def clips_removed(self) -> int:
        return len({clip for tombstone in self.entries for clip in tombstone.clips})

    def for_request(self, kind: str, name: str) -> list[Tombstone]:
        """The marks that one request left, when it was first made and when it was repeated."""
        return [
            tombstone
            for tombstone in self.entries
            if (tombstone.kind, tombstone.name) == (kind, name)
        ]

    def rejection_for(self, record: Any) -> Rejected | None:
        """Why a record must not come back, or None."""
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
                    or record.id in self._films
                    or (record.uploader and record.uploader in self._uploaders)
                )
            case Clip():
                first, last = record.span.start_frame, record.span.end_frame
                taken = self._spans.get(record.video.id, ())
                overlaps = any(start < last and first < end for start, end in taken)
                return overlaps or self._covers(record.video)
            case Image():
                taken = self._spans.get(record.video.id, ())
                inside = any(start <= record.frame < end for start, end in taken)
                return inside or self._covers(record.clip)
        return False

    @cached_property
    def _sources(self) -> frozenset[str]:
        return frozenset(name for tombstone in self.entries for name in tombstone.sources)

    @cached_property
    def _films(self) -> frozenset[str]:
        return frozenset(film for tombstone in self.entries for film in tombstone.films)

    @cached_property
    def _uploaders(self) -> frozenset[str]:
        return frozenset(name for tombstone in self.entries for name in tombstone.uploaders)

    @cached_property
    def _spans(self) -> dict[str, list[tuple[int, int]]]:
        spans: dict[str, list[tuple[int, int]]] = {}
        for tombstone in self.entries:
            for film, start, end in tombstone.spans:
                spans.setdefault(film, []).append((start, end))
        return spans


def write_tombstone(work: Path, tombstone: Tombstone) -> None:
    """Add a mark, safely on disk before anything is deleted."""
    with (work / FILENAME).open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(tombstone), ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _parse_tombstone(held: dict[str, Any]) -> Tombstone:
    lists = ("sources", "films", "uploaders", "clips")
    spans = tuple((film, start, end) for film, start, end in held["spans"])
    return Tombstone(**{**held, **{name: tuple(held[name]) for name in lists}, "spans": spans})
