"""Films on disk, each with a sidecar that says what it is: what a finished fetch never repeats.

`sources/<id>-<8 hex>.json` is a film's sidecar, the film itself lies beside it under the same name
with 8 more digits, of its own bytes: so a path never changes what it holds. The sidecar is written
twice: with the plan before the first byte, with the facts after the last one. A kill at any moment
leaves what the next run needs, and the ledger may be lost without a film being lost.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brickfilm.digest import digest_of
from brickfilm.files import atomic_write, commit_file
from brickfilm.records import Listing

SOURCES_FOLDER = "sources"
DAY_SECONDS = 86_400.0
MAX_SLUG_LENGTH = 60
PARTIAL_SUFFIXES = (".part", ".ytdl")

SourceMetadata = Mapping[str, Any]


@dataclass(frozen=True)
class SourceFile:
    """Where one film lies in a work folder."""

    work: Path
    stem: str

    @classmethod
    def of(cls, work: Path, listing: Listing, max_height: int) -> SourceFile:
        """A film of another height is another file; every other setting shares this one."""
        digest = digest_of([listing.source_id, max_height], 8)
        return cls(work, f"{slug_of(listing.source_id)}-{digest}")

    @property
    def folder(self) -> Path:
        return self.work / SOURCES_FOLDER

    @property
    def sidecar(self) -> Path:
        return self.folder / f"{self.stem}.json"

    def named(self, sha256: str, ext: str) -> Path:
        """The finished film, relative to the work folder."""
        return Path(SOURCES_FOLDER) / f"{self.stem}-{sha256[:8]}.{ext}"

    def draft(self, format_id: str, ext: str) -> Path:
        """The film on its way. The format is in the name: bytes of two formats never mix."""
        slug = re.sub(r"[^\w-]+", "-", format_id)
        return self.folder / f"{self.stem}.{slug}.{ext}"

    def metadata(self) -> SourceMetadata | None:
        """What is known of the finished film; None where it is not finished, or its file is gone.

        A film that was deleted because it was no longer needed keeps its facts.
        """
        told = self._read()
        film: SourceMetadata | None = told.get("film")
        if film is None or not (told.get("spent") or (self.work / film["path"]).is_file()):
            return None
        return film

    def plan(self) -> SourceMetadata | None:
        """What was going to be fetched when the last attempt began, with "planned_at"."""
        return self._read().get("plan")

    def write_plan(self, plan: SourceMetadata) -> None:
        """Say what is about to be fetched."""
        self._write({"plan": {**plan, "planned_at": time.time()}})

    def finalize(self, draft: Path, metadata: SourceMetadata) -> None:
        """Say that the film is whole, name it for good, and tidy up what other attempts left.

        The facts come first: killed in between, the draft is still there to be judged again.
        """
        self._write({**self._read(), "film": dict(metadata), "spent": False})
        commit_file(draft, self.work / metadata["path"])
        for leftover in self.folder.glob(f"{self.stem}.*"):
            if leftover.suffix in PARTIAL_SUFFIXES:
                leftover.unlink(missing_ok=True)

    def delete_media(self) -> None:
        """Delete the film and remember it: its clips are written."""
        told = self._read()
        if "film" not in told:
            return
        if not told.get("spent"):  # first: a kill in between must not look like a loss
            self._write({**told, "spent": True})
        (self.work / told["film"]["path"]).unlink(missing_ok=True)

    def request_refetch(self) -> None:
        """Forget that a deleted film was no longer needed: the next look fetches it again."""
        self._write({**self._read(), "spent": False})

    def delete_all(self) -> None:
        """Delete a film that is broken or not what it should be; its plan goes with it."""
        for path in self.folder.glob(f"{self.stem}[.-]*"):
            path.unlink(missing_ok=True)

    def _read(self) -> dict[str, Any]:
        try:
            told: dict[str, Any] = json.loads(self.sidecar.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return told

    def _write(self, told: SourceMetadata) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(self.sidecar) as stream:
            stream.write(json.dumps(told, ensure_ascii=False, indent=1).encode())


def slug_of(source_id: str) -> str:
    """A source's name for a film as the first part of a file's name: the end of a long one."""
    return re.sub(r"[^\w-]+", "-", source_id).strip("-")[-MAX_SLUG_LENGTH:]


def all_source_metadata(work: Path) -> Iterator[SourceMetadata]:
    """The facts of every film that this work folder has ever finished."""
    for sidecar in sorted((work / SOURCES_FOLDER).glob("*.json")):
        if film := json.loads(sidecar.read_text(encoding="utf-8")).get("film"):
            yield film


def count_fetched_last_day(work: Path) -> int:
    """Films finished in the last 24 hours, by whichever run."""
    since = time.time() - DAY_SECONDS
    return sum(film["fetched_at"] > since for film in all_source_metadata(work))
