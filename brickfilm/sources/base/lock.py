"""Read and write `sources.lock.json`: format, bytes, date and tool of every downloaded video."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path

from brickfilm.errors import Failed, UsageError
from brickfilm.files import atomic_write, parse_json
from brickfilm.schema.licences import hub_licence_id
from brickfilm.sources.base.source_file import SourceMetadata

log = logging.getLogger(__name__)

LOCK_FILENAME = "sources.lock.json"
LOCK_VERSION = 1


class SourceDrifted(Failed):
    """A video differs from the lock file."""

    default_reason = "drifted"


@dataclass(frozen=True, kw_only=True)
class LockedVideo:
    """One video as it was downloaded."""

    source_id: str
    url: str
    title: str
    format_id: str
    format: str
    height: int
    sha256: str
    bytes: int
    licence: str
    fetched_at: float
    """Seconds since 1970, UTC."""
    tool: str


@dataclass(frozen=True)
class SourcesLock:
    """Every video of a build."""

    videos: tuple[LockedVideo, ...] = field(default=())

    @classmethod
    def read(cls, folder: Path) -> SourcesLock:
        """Read the lock file of a folder; UsageError if it is missing or invalid."""
        path = folder / LOCK_FILENAME
        try:
            content = parse_json(path.read_text(encoding="utf-8"))
            if content["lock"] != LOCK_VERSION:
                raise UsageError(f"{str(path)!r} is of format {content['lock']}: upgrade brickfilm")
            return cls(tuple(LockedVideo(**film) for film in content["films"]))
        except FileNotFoundError:
            raise UsageError(
                f"there is no {str(path)!r} to rebuild from: build once without --locked, or copy "
                "the lock file of another build there"
            ) from None
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"{str(path)!r} is not a lock file ({error!r}): copy it anew, "
                "or delete it and build without --locked"
            ) from error

    def write(self, folder: Path) -> None:
        """Replace the lock file of a folder atomically, if anything changed."""
        films = [asdict(video) for video in sorted(self.videos, key=lambda v: v.source_id)]
        text = (
            json.dumps({"lock": LOCK_VERSION, "films": films}, ensure_ascii=False, indent=1) + "\n"
        )
        path = folder / LOCK_FILENAME
        if not path.exists() or path.read_bytes() != text.encode():
            with atomic_write(path) as stream:
                stream.write(text.encode())

    def video(self, source_id: str) -> LockedVideo:
        """Return the video with a source id."""
        return self._by_name[source_id]

    def find(self, source_id: str) -> LockedVideo | None:
        """Return the video with a source id, or None."""
        return self._by_name.get(source_id)

    @cached_property
    def _by_name(self) -> dict[str, LockedVideo]:
        return {video.source_id: video for video in self.videos}


def build_lock(metadata: Iterable[SourceMetadata]) -> SourcesLock:
    """Build a lock file's content from the metadata of downloaded videos."""
    names = [f.name for f in fields(LockedVideo)]
    return SourcesLock(
        tuple(LockedVideo(**{name: video[name] for name in names}) for video in metadata)
    )


def record_downloads(work: Path, videos: Sequence[SourceMetadata], *, with_lock: bool) -> None:
    """Write the lock file of these downloads, and warn of videos without an open licence."""
    if with_lock:
        build_lock(videos).write(work)
    if closed := sum(hub_licence_id(video["licence"]) is None for video in videos):
        log.warning(
            "%d of %d videos are not openly licensed: check that you may use and publish them "
            "(docs/publish.md)",
            closed,
            len(videos),
        )


def check_bytes(locked: LockedVideo, sha256: str) -> None:
    """Raise SourceDrifted unless the digest is the locked one."""
    if sha256 != locked.sha256:
        raise SourceDrifted(
            f"{locked.title!r}: the same format ({locked.format_id}) but other bytes "
            f"({sha256[:12]}, locked {locked.sha256[:12]}): the site has encoded it again; "
            "--allow-drift accepts it",
            reason="other bytes",
        )


def format_gone_error(locked: LockedVideo) -> SourceDrifted:
    """Return the error of a video whose locked format is not offered any more."""
    return SourceDrifted(
        f"{locked.title!r}: format {locked.format} is not offered any more: "
        "--allow-drift accepts the best one that is",
        reason="format gone",
    )


def video_gone_error(locked: LockedVideo, cause: Exception) -> SourceDrifted:
    """Return the error of a video that does not exist any more."""
    return SourceDrifted(
        f"{locked.title!r} cannot be downloaded any more ({cause}): put a copy of its file back, "
        "or build without --locked",
        reason="video gone",
    )
