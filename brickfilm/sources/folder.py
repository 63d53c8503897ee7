"""Films that are already on this machine."""

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
from brickfilm.errors import UsageError
from brickfilm.media import probe, sha256_of
from brickfilm.records import Listing, Video
from brickfilm.schema.licences import check_licence_is_known

VIDEO_SUFFIXES = (
    *(".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg"),
    *(".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv"),
)
"""What is taken for a film inside a folder. A file given by name is opened whatever its suffix."""


class FolderSource:
    """Films by path: files, folders (and all below them), and globs.

    licence, uploader: of all these films; what rows, card and `push` say of them. Stating them
    later, or otherwise, asks and writes nothing again but the rows.
    """

    def __init__(self, *paths: Path | str, licence: str = "", uploader: str = "") -> None:
        if not paths:
            raise UsageError("FolderSource() needs a path: a folder, a file or a glob of films")
        self.paths = tuple(str(path) for path in paths)
        self.licence = check_licence_is_known(licence)
        self.uploader = uploader

    def __repr__(self) -> str:
        return f"FolderSource({', '.join(map(repr, self.paths))})"

    def items(self) -> Iterator[Listing]:
        """Every film once, sorted by name, without opening any."""
        films = sorted({film.absolute() for path in self.paths for film in _find_videos(path)})
        if not films:
            raise UsageError(
                f"no film below {', '.join(map(repr, self.paths))}: looked for {' '.join(VIDEO_SUFFIXES)}"
            )
        root = self._root(films)
        for film in films:
            name = film.relative_to(root).as_posix()
            yield Listing(
                source_id=_printable(name),
                path=film,
                title=_printable(film.stem),
                uploader=self.uploader,
                licence=self.licence,
            )

    def stages(self) -> tuple[Stage[Any, Any], ...]:
        return (Probe(),)

    def _root(self, films: list[Path]) -> Path:
        """The folder that names are told from: the one given, or what all films share."""
        only = Path(self.paths[0]).absolute()
        if len(self.paths) == 1 and only.is_dir():
            return only
        return Path(os.path.commonpath([film.parent for film in films]))


def _find_videos(path: str) -> Iterable[Path]:
    place = Path(path)
    if place.is_dir():
        films = (p for p in place.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES and p.is_file())
        return (film for film in films if not _is_built_clip(film))
    if place.exists():
        return (place,)
    if has_magic(path):
        found = glob(path, recursive=True)  # noqa: PTH207  # Path.glob takes no absolute pattern
        return (p for p in map(Path, found) if p.is_file())
    raise UsageError(f"there is no {path!r}: give a folder, a file or a glob of films")


def _is_built_clip(film: Path) -> bool:
    """Whether it is a clip of a build whose work folder lies among the films: no footage."""
    return film.parent.name == "clips" and (film.parent.parent / LEDGER).is_file()


@dataclass(frozen=True, kw_only=True)
class Probe(Stage[Listing, Video]):
    """Opens a listed file: what it is, and that it is all there."""

    version: ClassVar[int] = 1
    input_types = (Listing,)
    output_types = (Video,)
    runs_in_dry_run = True

    @property
    def resources(self) -> Resources:
        return Resources(concurrency=2)

    def key(self, item: Listing) -> str:
        """Path, size and time of change: a file that was replaced is looked at again."""
        path = _path(item)
        try:
            stat = path.stat()
        except OSError:
            return f"{_printable(str(path))}:missing"
        return f"{_printable(str(path))}:{stat.st_size}:{stat.st_mtime_ns}"

    @contextmanager
    def open(self, work: Path) -> Iterator[Callable[[Listing], Answer]]:
        yield lambda item: _probe_answer(_path(item))

    def apply(self, item: Listing, answer: Answer) -> Iterable[Video]:
        yield Video(
            path=_path(item),
            sha256=answer["sha256"],
            source_id=item.source_id,
            fps=Fraction(answer["fps"]),
            time_base=Fraction(answer["time_base"]),
            width=answer["width"],
            height=answer["height"],
            duration=answer["duration"],
            url=item.url,
            title=item.title,
            uploader=item.uploader,
            licence=item.licence,
            format=answer["format"],
        )


def _printable(name: str) -> str:
    """A name as text that any table takes: bytes that are no UTF-8 are written as \\xff."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _path(item: Listing) -> Path:
    if item.path is None:
        raise UsageError(f"{item.source_id!r} has no path: it is not from a FolderSource")
    return item.path


def _probe_answer(path: Path) -> Answer:
    facts = probe(path)
    return {
        "sha256": sha256_of(path),
        "fps": str(facts.fps),
        "time_base": str(facts.time_base),
        "width": facts.width,
        "height": facts.height,
        "duration": facts.duration,
        "format": f"{facts.container}/{facts.codec}",
    }
