"""Read videos that are already on this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from glob import glob, has_magic
from pathlib import Path
from typing import Any, ClassVar

from brickfilm.engine.ledger.file import FILENAME as LEDGER
from brickfilm.engine.stage import Answer, Resources, Stage
from brickfilm.errors import Rejected, UsageError
from brickfilm.files import printable
from brickfilm.media import probe, sha256_of
from brickfilm.records import DeinterlaceMode, HdrMode, Listing, Video
from brickfilm.schema.licences import check_licence_is_known
from brickfilm.sources.base import PictureStage, lacks_picture

VIDEO_SUFFIXES = (
    *(".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg"),
    *(".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv"),
)
"""Suffixes of videos inside a folder. A file given by name is opened whatever its suffix."""


class FolderSource:
    """List videos by path: files, folders (with everything below them) and globs.

    licence, uploader: of all these videos, for dataset rows, card and `push`. Changing them later
    rewrites the rows and recomputes nothing else. hdr, deinterlace: as of the stage `Probe`.
    """

    def __init__(
        self,
        *paths: Path | str,
        licence: str = "",
        uploader: str = "",
        hdr: HdrMode = "reject",
        deinterlace: DeinterlaceMode = "auto",
    ) -> None:
        if not paths:
            raise UsageError("FolderSource() needs a path: a folder, a file or a glob of videos")
        self.paths = tuple(str(path) for path in paths)
        self.licence = check_licence_is_known(licence)
        self.uploader = uploader
        self.probe = Probe(hdr=hdr, deinterlace=deinterlace)

    def __repr__(self) -> str:
        return f"FolderSource({', '.join(map(repr, self.paths))})"

    def items(self) -> Iterator[Listing]:
        """Yield every video once, sorted by name, without opening any."""
        videos = sorted({video.absolute() for path in self.paths for video in _find_videos(path)})
        if not videos:
            raise UsageError(
                f"no video below {', '.join(map(repr, self.paths))}: looked for "
                f"{' '.join(VIDEO_SUFFIXES)}"
            )
        root = self._root(videos)
        for video in videos:
            name = video.relative_to(root).as_posix()
            yield Listing(
                source_id=printable(name),
                path=video,
                title=printable(video.stem),
                uploader=self.uploader,
                licence=self.licence,
            )

    def stages(self) -> tuple[Stage[Any, Any], ...]:
        return (self.probe,)

    def _root(self, videos: list[Path]) -> Path:
        """Return the folder that source ids are relative to: the given one, or the common one."""
        folder = Path(self.paths[0]).absolute()
        if len(self.paths) == 1 and folder.is_dir():
            return folder
        return Path(os.path.commonpath([video.parent for video in videos]))


def _find_videos(path: str) -> Iterable[Path]:
    entry = Path(path)
    if entry.is_dir():
        files = (p for p in entry.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES and p.is_file())
        return (file for file in files if not _is_built_clip(file))
    if entry.exists():
        return (entry,)
    if has_magic(path):
        matches = glob(path, recursive=True)  # noqa: PTH207  # Path.glob takes no absolute pattern
        return (p for p in map(Path, matches) if p.is_file())
    raise UsageError(f"there is no {path!r}: give a folder, a file or a glob of videos")


def _is_built_clip(file: Path) -> bool:
    """Return True for a clip of a build whose work folder lies below the source folder."""
    return file.parent.name == "clips" and (file.parent.parent / LEDGER).is_file()


@dataclass(frozen=True, kw_only=True)
class Probe(PictureStage):
    """Open a listed file and read its properties; MediaError if it is not a complete video."""

    version: ClassVar[int] = 1
    runs_in_dry_run = True

    @property
    def resources(self) -> Resources:
        return Resources(concurrency=2)

    def key(self, item: Listing) -> str:
        """Return path, size and modification time: a replaced file is probed again."""
        path = _path(item)
        try:
            stat = path.stat()
        except OSError:
            return f"{printable(str(path))}:missing"
        return f"{printable(str(path))}:{stat.st_size}:{stat.st_mtime_ns}"

    @contextmanager
    def open(self, work: Path) -> Iterator[Callable[[Listing], Answer]]:
        yield lambda item: _probe_answer(_path(item))

    def is_outdated(self, item: Listing, answer: Answer, work: Path) -> bool:
        return lacks_picture(answer, _path(item))

    def apply(self, item: Listing, answer: Answer) -> Iterable[Video | Rejected]:
        video = Video(
            path=_path(item),
            sha256=answer["sha256"],
            source_id=item.source_id,
            fps=Fraction(answer["fps"]),
            time_base=Fraction(answer["time_base"]),
            width=answer["width"],
            height=answer["height"],
            duration=answer["duration"],
            header_seconds=answer.get("header_seconds", 0.0),
            url=item.url,
            title=item.title,
            uploader=item.uploader,
            licence=item.licence,
            format=answer["format"],
        )
        yield self.converted(video, answer)


def _path(item: Listing) -> Path:
    if item.path is None:
        raise UsageError(f"{item.source_id!r} has no path: only FolderSource lists files")
    return item.path


def _probe_answer(path: Path) -> Answer:
    info = probe(path, whole=False)
    return {
        "sha256": sha256_of(path),
        "fps": str(info.fps),
        "time_base": str(info.time_base),
        "width": info.width,
        "height": info.height,
        "duration": info.duration,
        "header_seconds": info.header_seconds,
        "format": f"{info.container}/{info.codec}",
        "picture": info.picture.to_answer(),
    }
