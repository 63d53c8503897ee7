"""`sources.lock.json`: what was fetched, in which format, with which bytes, when and with what."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from brickfilm.errors import Failed, UsageError
from brickfilm.files import atomic_write

LOCK_FILENAME = "sources.lock.json"
LOCK_VERSION = 1


class SourceDrifted(Failed):
    """A film is no longer what the lock file says."""

    default_reason = "drifted"


@dataclass(frozen=True, kw_only=True)
class LockedVideo:
    """One film as it was fetched."""

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
    """Every film of a build."""

    films: tuple[LockedVideo, ...] = field(default=())

    @classmethod
    def read(cls, folder: Path) -> SourcesLock:
        """The lock file of a folder; UsageError where there is none, or it is not one."""
        path = folder / LOCK_FILENAME
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            if told["lock"] != LOCK_VERSION:
                raise UsageError(f"{str(path)!r} is of format {told['lock']}: upgrade brickfilm")
            return cls(tuple(LockedVideo(**film) for film in told["films"]))
        except FileNotFoundError:
            raise UsageError(
                f"there is no {str(path)!r} to rebuild from: build once without --locked, or copy "
                "the lock file of another build there"
            ) from None
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{str(path)!r} is no lock file ({error!r})") from error

    def write(self, folder: Path) -> None:
        """Replace the lock file of a folder, whole, and only if anything changed."""
        films = [asdict(film) for film in sorted(self.films, key=lambda film: film.source_id)]
        text = (
            json.dumps({"lock": LOCK_VERSION, "films": films}, ensure_ascii=False, indent=1) + "\n"
        )
        path = folder / LOCK_FILENAME
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            with atomic_write(path) as stream:
                stream.write(text.encode())

    def film(self, source_id: str) -> LockedVideo:
        """The film of a name."""
        return self._by_name[source_id]

    @cached_property
    def _by_name(self) -> dict[str, LockedVideo]:
        return {film.source_id: film for film in self.films}


def build_lock(metadata: Iterable[Mapping[str, Any]]) -> SourcesLock:
    """A lock of the facts of fetched films."""
    names = [f.name for f in fields(LockedVideo)]
    return SourcesLock(
        tuple(LockedVideo(**{name: film[name] for name in names}) for film in metadata)
    )


def check_bytes(locked: LockedVideo, sha256: str) -> None:
    """Raise Drifted unless the bytes are the locked ones."""
    if sha256 != locked.sha256:
        raise SourceDrifted(
            f"{locked.title!r}: the same format ({locked.format_id}) but other bytes "
            f"({sha256[:12]}, locked {locked.sha256[:12]}): the site encoded it anew; "
            "--allow-drift takes it",
            reason="other bytes",
        )


def format_gone_error(locked: LockedVideo) -> SourceDrifted:
    """The error of a film whose locked format is not offered any more."""
    return SourceDrifted(
        f"{locked.title!r}: format {locked.format} is not offered any more: "
        "--allow-drift takes the best that is",
        reason="format gone",
    )


def video_gone_error(locked: LockedVideo, why: Exception) -> SourceDrifted:
    """The error of a film that is not there any more."""
    return SourceDrifted(
        f"{locked.title!r} cannot be had any more ({why}): a copy of its file may be put back, or "
        "build without --locked",
        reason="video gone",
    )
