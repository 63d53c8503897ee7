"""Open listed files and read their properties."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

from brickfilm.digest import field_added_later
from brickfilm.engine.stage import Answer, Resources
from brickfilm.errors import MediaError, Rejected, UsageError
from brickfilm.files import printable
from brickfilm.media import (
    MAX_PIXELS,
    StillSequence,
    file_state,
    probe,
    probe_stills,
    sha256_of,
    unchanged,
)
from brickfilm.records import Listing, Video
from brickfilm.sources.base import PictureStage, lacks_picture


@dataclass(frozen=True, kw_only=True)
class Probe(PictureStage):
    """Open a listed file and read its properties; MediaError if it is not a complete video."""

    version: ClassVar[int] = 1
    runs_in_dry_run = True

    max_pixels: int = field_added_later(MAX_PIXELS)
    """Pixels of a frame; videos with more are rejected."""

    @property
    def resources(self) -> Resources:
        return Resources(concurrency=2)

    def key(self, item: Listing) -> str:
        """Return path, size and modification time: a replaced file is probed again."""
        path = _path(item)
        rate = f"{item.fps}:" if item.fps else ""
        return f"{printable(str(path))}:{rate}{_state(path)}"

    @contextmanager
    def open(self, work: Path) -> Iterator[Callable[[Listing], Answer]]:
        yield lambda item: _probe_answer(_path(item), item.fps, self.max_pixels)

    def is_outdated(self, item: Listing, answer: Answer, work: Path) -> bool:
        path = _path(item)
        return answer.get("state", _state(path)) != _state(path) or lacks_picture(answer, path)

    def updated(self, old: Answer, new: Answer) -> Answer:
        """Return the new answer, of a video that was built before its pictures were looked at."""
        was_plain = old.get("picture", {"was_plain": True}).get("was_plain", False)
        if not was_plain or old["sha256"] != new["sha256"]:
            return new
        return {**new, "picture": {**new["picture"], "was_plain": True}}

    def apply(self, item: Listing, answer: Answer) -> Iterable[Video | Rejected]:
        path = _path(item)
        video = Video(
            path=path,
            sha256=answer["sha256"],
            source_id=item.source_id,
            fps=Fraction(answer["fps"]),
            time_base=Fraction(answer["time_base"]),
            width=answer["width"],
            height=answer["height"],
            duration=answer["duration"],
            header_seconds=answer.get("header_seconds", 0.0),
            first_number=answer.get("first_number", 0),
            url=item.url,
            title=item.title,
            uploader=item.uploader,
            licence=item.licence,
            format=answer["format"],
            file_state=answer.get("state") or _state(path),
        )
        yield self.converted(video, answer)


def _path(item: Listing) -> Path:
    if item.path is None:
        raise UsageError(f"{item.source_id!r} has no path: only FolderSource lists files")
    return item.path


def _state(path: Path) -> str:
    try:
        return file_state(path)
    except MediaError:
        return "missing"


def _probe_answer(path: Path, fps: Fraction | None, max_pixels: int) -> Answer:
    state = file_state(path)
    with unchanged(path, state):
        return {**_properties(path, fps, max_pixels), "state": state}


def _properties(path: Path, fps: Fraction | None, max_pixels: int) -> Answer:
    if fps:
        info = probe_stills(StillSequence(path), fps, max_pixels)
    else:
        info = probe(path, whole=False, max_pixels=max_pixels)
    return {
        "sha256": info.sha256 or sha256_of(path),
        "fps": str(info.fps),
        "time_base": str(info.time_base),
        "width": info.width,
        "height": info.height,
        "duration": info.duration,
        "header_seconds": info.header_seconds,
        "first_number": info.first_number,
        "format": f"{info.container}/{info.codec}",
        "picture": info.picture.to_answer(),
    }
