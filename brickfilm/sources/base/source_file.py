"""Files of downloaded videos with their sidecars.

`sources/<id>-<8 hex>.json` is a video's sidecar. The video lies beside it under the same name with
8 more hex digits, of its own bytes, so that a path never changes its content. The sidecar is
written twice: with the plan before the download, and with the metadata after it. A kill at any
moment leaves what the next run needs, also without the ledger. Removal finds downloads by their
sidecars, whichever source made them.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brickfilm.digest import digest_of, with_digest, without_digest
from brickfilm.errors import MediaError, Rejected
from brickfilm.files import atomic_write, commit_file, parse_json, sync_path
from brickfilm.records import Listing
from brickfilm.schema.safe_paths import is_below, named_files

if TYPE_CHECKING:
    from brickfilm.media import VideoInfo

log = logging.getLogger(__name__)

SOURCES_FOLDER = "sources"
DAY_SECONDS = 86_400.0
MAX_SLUG_LENGTH = 60
PARTIAL_SUFFIXES = (".part", ".ytdl")

STEM = r"-[0-9a-f]{8}"

SourceMetadata = Mapping[str, Any]
"""JSON of a downloaded video: `VIDEO_FIELDS`, `fps`, `time_base`, `url`, `bytes`, `fetched_at`."""
VIDEO_FIELDS = (
    *("sha256", "width", "height", "duration", "title", "uploader", "channel", "upload_date"),
    *("licence", "format", "tool"),
)


@dataclass(frozen=True)
class SourceFile:
    """Paths and sidecar of one video in a work folder."""

    work: Path
    stem: str

    @classmethod
    def of(cls, work: Path, listing: Listing, *variant: Any) -> SourceFile:
        """Return the file of a video. variant: settings that give other bytes, such as a height."""
        digest = digest_of([listing.source_id, *variant], 8)
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

    def with_picture(self, metadata: SourceMetadata) -> SourceMetadata:
        """Return metadata of an older version with what the file says of its pictures."""
        from brickfilm.media import probe

        if not lacks_picture(metadata, self.work / metadata["path"]):
            return metadata
        picture = probe(self.work / metadata["path"]).picture.to_answer()
        metadata = {**metadata, "picture": {**picture, "was_plain": True}}
        self._write({**self._read(), "film": metadata})
        return metadata

    def verified_metadata(self) -> SourceMetadata | None:
        """Return the metadata if the file on disk still has its digest; else delete the file."""
        from brickfilm.media import sha256_of

        metadata = self.metadata()
        if metadata is None:
            return None
        path = self.work / metadata["path"]
        if path.is_file() and sha256_of(path) != metadata["sha256"]:
            self.delete_all()
            return None
        return metadata

    def plan(self) -> SourceMetadata | None:
        """Return the plan of the last download attempt, with "planned_at"."""
        return self._read().get("plan")

    def write_plan(self, plan: SourceMetadata) -> None:
        """Write the plan of a download attempt."""
        self._write({"plan": {**plan, "planned_at": time.time()}})

    def finish(
        self, draft: Path, ext: str, describe: Callable[[VideoInfo], SourceMetadata]
    ) -> SourceMetadata:
        """Probe a complete download, write its metadata and give the file its final name.

        describe: returns the site's metadata; size, rate and digest come from the file. Deletes a
        file that is no video, such as an error page, and raises MediaError; one with too many
        pixels likewise, and raises Rejected.
        """
        from brickfilm.media import probe, sha256_of

        try:
            info = probe(draft)
        except (MediaError, Rejected):
            self.delete_all()
            raise
        metadata = {
            **describe(info),
            "fps": str(info.fps),
            "time_base": str(info.time_base),
            "duration": info.duration,
            "width": info.width,
            "height": info.height,
            "picture": info.picture.to_answer(),
            "path": str(self.named(digest := sha256_of(draft), ext)),
            "sha256": digest,
            "bytes": draft.stat().st_size,
            "fetched_at": time.time(),
        }
        self._finalize(draft, metadata)
        return metadata

    def _finalize(self, draft: Path, metadata: SourceMetadata) -> None:
        """Write the metadata, give the file its final name, and delete partial files.

        The metadata come first: after a kill in between, the draft is finished by the next run.
        """
        self._write({**self._read(), "film": dict(metadata), "spent": False})
        commit_file(draft, self.work / metadata["path"])
        sync_path(self.folder)
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
        return _read_sidecar(self.sidecar)

    def _write(self, content: SourceMetadata) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(self.sidecar) as stream:
            sealed = with_digest(content)
            stream.write(json.dumps(sealed, ensure_ascii=False, indent=1).encode())


def slug_of(source_id: str) -> str:
    """Return a source id as part of a file name; of a long one, its end."""
    return re.sub(r"[^\w-]+", "-", source_id).strip("-")[-MAX_SLUG_LENGTH:]


def all_source_metadata(work: Path) -> Iterator[SourceMetadata]:
    """Yield the metadata of every video that was ever downloaded into a work folder."""
    for sidecar in sorted((work / SOURCES_FOLDER).glob("*.json")):
        if metadata := _read_sidecar(sidecar).get("film"):
            yield metadata


def delete_downloads(work: Path, source_ids: Collection[str]) -> int:
    """Delete every file of these sources, complete or not; return the number of files."""
    slugs = "|".join(re.escape(slug_of(source)) for source in source_ids)
    named = re.compile(rf"\.?(?P<stem>({slugs or '$^'}){STEM})[.-]")
    names = {p: m["stem"] for p in (work / SOURCES_FOLDER).glob("*") if (m := named.match(p.name))}
    owners = {stem: _source_id_of(work, stem) for stem in names.values()}
    # two ids may have one slug: the sidecar says whose file it is
    paths = [path for path, stem in names.items() if owners[stem] in {None, *source_ids}]
    for path in sorted(paths, key=lambda path: path.suffix == ".json"):
        path.unlink()
    return len(paths)


def count_fetched_last_day(work: Path) -> int:
    """Count the videos downloaded in the last 24 hours, by all runs together."""
    since = time.time() - DAY_SECONDS
    return sum(metadata["fetched_at"] > since for metadata in all_source_metadata(work))


def _source_id_of(work: Path, stem: str) -> str | None:
    """Return the source id in the sidecar of a file; None if there is none."""
    sidecar = _read_sidecar(work / SOURCES_FOLDER / f"{stem}.json")
    metadata = sidecar.get("film") or sidecar.get("plan") or {}
    return metadata.get("source_id")


def _read_sidecar(path: Path) -> dict[str, Any]:
    try:
        content = without_digest(parse_json(path.read_bytes()))
        if not all(isinstance(content.get(name, {}), dict) for name in ("film", "plan")):
            raise ValueError("it holds something else")
        if not all(map(is_below, named_files(content))):
            raise ValueError("it names a file outside the work folder")
        return content
    except FileNotFoundError:
        return {}
    except ValueError as error:
        log.warning("%s is damaged (%s): its video is fetched again", path, error)
        return {}


def lacks_picture(properties: Mapping[str, Any], path: Path) -> bool:
    """Return True if an answer of an older version says nothing of pictures that need it."""
    from brickfilm.media import is_worth_probing

    return "picture" not in properties and path.is_file() and is_worth_probing(path)
