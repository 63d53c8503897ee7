"""Store downloaded videos, each with a JSON sidecar, so that none is ever downloaded twice.

`sources/<id>-<8 hex>.json` is a video's sidecar. The video lies beside it under the same name with
8 more hex digits, of its own bytes, so that a path never changes its content. The sidecar is
written twice: with the plan before the download, and with the metadata after it. A kill at any
moment leaves what the next run needs, also without the ledger.
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
    """Paths and sidecar of one video in a work folder."""

    work: Path
    stem: str

    @classmethod
    def of(cls, work: Path, listing: Listing, max_height: int) -> SourceFile:
        """Return the file of a video; its name depends on `max_height` and no other setting."""
        digest = digest_of([listing.source_id, max_height], 8)
        return cls(work, f"{slug_of(listing.source_id)}-{digest}")

    @property
    def folder(self) -> Path:
        return self.work / SOURCES_FOLDER

    @property
    def sidecar(self) -> Path:
        return self.folder / f"{self.stem}.json"

    def named(self, sha256: str, ext: str) -> Path:
        """Return the path of the finished video, relative to the work folder."""
        return Path(SOURCES_FOLDER) / f"{self.stem}-{sha256[:8]}.{ext}"

    def draft(self, format_id: str, ext: str) -> Path:
        """Return the path during download; it names the format, so that two are never mixed."""
        slug = re.sub(r"[^\w-]+", "-", format_id)
        return self.folder / f"{self.stem}.{slug}.{ext}"

    def metadata(self) -> SourceMetadata | None:
        """Return the metadata of the finished video; None if unfinished, or its file is missing.

        A video that was deleted by `delete_media` keeps its metadata.
        """
        sidecar = self._read()
        metadata: SourceMetadata | None = sidecar.get("film")
        if metadata and (sidecar.get("spent") or (self.work / metadata["path"]).is_file()):
            return metadata
        return None

    def plan(self) -> SourceMetadata | None:
        """Return the plan of the last download attempt, with "planned_at"."""
        return self._read().get("plan")

    def write_plan(self, plan: SourceMetadata) -> None:
        """Write the plan of a download attempt."""
        self._write({"plan": {**plan, "planned_at": time.time()}})

    def finalize(self, draft: Path, metadata: SourceMetadata) -> None:
        """Write the metadata, give the file its final name, and delete partial files.

        The metadata come first: after a kill in between, the draft is finished by the next run.
        """
        self._write({**self._read(), "film": dict(metadata), "spent": False})
        commit_file(draft, self.work / metadata["path"])
        for leftover in self.folder.glob(f"{self.stem}.*"):
            if leftover.suffix in PARTIAL_SUFFIXES:
                leftover.unlink(missing_ok=True)

    def delete_media(self) -> None:
        """Delete the file, whose clips are written, and keep its metadata."""
        sidecar = self._read()
        if "film" not in sidecar:
            return
        if not sidecar.get("spent"):  # first: after a kill in between, the file is not missing
            self._write({**sidecar, "spent": True})
        (self.work / sidecar["film"]["path"]).unlink(missing_ok=True)

    def request_refetch(self) -> None:
        """Mark a deleted file as needed: it is downloaded again."""
        self._write({**self._read(), "spent": False})

    def delete_all(self) -> None:
        """Delete an invalid file, its sidecar and its partial files."""
        for path in self.folder.glob(f"{self.stem}[.-]*"):
            path.unlink(missing_ok=True)

    def _read(self) -> dict[str, Any]:
        try:
            content: dict[str, Any] = json.loads(self.sidecar.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return content

    def _write(self, content: SourceMetadata) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(self.sidecar) as stream:
            stream.write(json.dumps(content, ensure_ascii=False, indent=1).encode())


def slug_of(source_id: str) -> str:
    """Return a source id as part of a file name; of a long one, its end."""
    return re.sub(r"[^\w-]+", "-", source_id).strip("-")[-MAX_SLUG_LENGTH:]


def all_source_metadata(work: Path) -> Iterator[SourceMetadata]:
    """Yield the metadata of every video that was ever downloaded into a work folder."""
    for sidecar in sorted((work / SOURCES_FOLDER).glob("*.json")):
        if metadata := json.loads(sidecar.read_text(encoding="utf-8")).get("film"):
            yield metadata


def count_fetched_last_day(work: Path) -> int:
    """Count the videos downloaded in the last 24 hours, by all runs together."""
    since = time.time() - DAY_SECONDS
    return sum(metadata["fetched_at"] > since for metadata in all_source_metadata(work))
