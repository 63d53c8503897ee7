"""Read videos that are already on this machine."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from brickfilm.engine.stage import Stage
from brickfilm.errors import Failed, ItemError, Rejected, UsageError
from brickfilm.files import printable
from brickfilm.media import MAX_PIXELS
from brickfilm.records import DeinterlaceMode, HdrMode, Listing
from brickfilm.schema.containers import VIDEO_SUFFIXES
from brickfilm.schema.licences import check_licence_is_known
from brickfilm.sources.folder.files import STILL_SUFFIXES, FoundFiles
from brickfilm.sources.folder.probe import Probe

MAX_FPS = 1000
NAME_THE_RATE = "say its frame rate with FolderSource(fps=24), or --fps 24"

FrameRate = Fraction | float | str
"""Frames a second: 24, 12.5 or "24000/1001"."""


class FolderSource:
    """List videos by path: files, folders (with everything below them) and globs.

    licence, uploader: of all these videos, for dataset rows, card and `push`. Changing them later
    rewrites the rows and recomputes nothing else. hdr, deinterlace: as of the stage `Probe`. fps:
    frame rate of sequences of numbered stills (JPEG, PNG, TIFF), which do not tell it. max_pixels:
    larger frames are rejected.
    """

    def __init__(
        self,
        *paths: Path | str,
        licence: str = "",
        uploader: str = "",
        hdr: HdrMode = "reject",
        deinterlace: DeinterlaceMode = "auto",
        fps: FrameRate | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        if not paths:
            raise UsageError("FolderSource() needs a path: a folder, a file or a glob of videos")
        self.paths = tuple(str(path) for path in paths)
        self.licence = check_licence_is_known(licence)
        self.uploader = uploader
        self.fps = None if fps is None else _frame_rate(fps)
        if max_pixels < 1:
            raise UsageError(f"max_pixels={max_pixels!r} must be at least 1")
        self.probe = Probe(hdr=hdr, deinterlace=deinterlace, max_pixels=max_pixels)

    def __repr__(self) -> str:
        return f"FolderSource({', '.join(map(repr, self.paths))})"

    def items(self) -> Iterator[Listing | ItemError]:
        """Return every video once, sorted by name, then what is passed over; open none."""
        return iter(list(self._listed()))  # an iterator that knows its length

    def _listed(self) -> Iterator[Listing | ItemError]:
        found = FoundFiles.below(self.paths)
        names = ", ".join(map(repr, self.paths))
        if not found.videos and not found.sequences:
            raise UsageError(f"no video below {names}: looked for {' '.join(VIDEO_SUFFIXES)}")
        if not found.videos and self.fps is None:
            raise UsageError(f"{names}: {len(found.sequences)} image sequence(s): {NAME_THE_RATE}")
        root = self._root([*found.videos, *(s.path for s in found.sequences)])
        ids = _sequence_ids(found, root) | {v: v.relative_to(root).as_posix() for v in found.videos}
        for path, name in sorted(ids.items(), key=lambda item: item[1]):
            yield self._listing(path, name, is_sequence=path not in found.videos)
        for file in found.passed_over:
            yield self._passed_over(file, root)

    def stages(self) -> tuple[Stage[Any, Any], ...]:
        return (self.probe,)

    def _listing(self, path: Path, name: str, *, is_sequence: bool) -> Listing | Failed:
        listing = Listing(
            source_id=printable(name),
            path=path,
            title=printable(Path(name).name if is_sequence else path.stem),
            uploader=self.uploader,
            licence=self.licence,
            fps=self.fps if is_sequence else None,
        )
        if is_sequence and self.fps is None:
            message = f"{listing.source_id!r} is an image sequence: {NAME_THE_RATE}"
            return Failed(message, reason="no frame rate", record=listing)
        return listing

    def _passed_over(self, file: Path, root: Path) -> Rejected:
        name = printable(os.path.relpath(file, root))
        suffix = printable(file.suffix.lower())
        is_still = suffix in STILL_SUFFIXES
        reason = f"a single {suffix}" if is_still else f"no footage: {suffix or 'no suffix'}"
        return Rejected(
            f"{name!r} is passed over: {reason}", reason=reason, record=Listing(source_id=name)
        )

    def _root(self, videos: list[Path]) -> Path:
        """Return the folder that source ids are relative to: the given one, or the common one."""
        folder = Path(self.paths[0]).absolute()
        if len(self.paths) == 1 and folder.is_dir():
            return folder
        return Path(os.path.commonpath([video.parent for video in videos]))


def _frame_rate(fps: FrameRate) -> Fraction:
    try:
        rate = Fraction(str(fps))
    except (ValueError, ZeroDivisionError) as error:
        raise UsageError(f"fps={fps!r} is no frame rate: give one like 24 or 24000/1001") from error
    if not 0 < rate <= MAX_FPS:
        raise UsageError(f"fps={fps!r} is no frame rate: give one from 0 to {MAX_FPS}")
    return rate


def _sequence_ids(found: FoundFiles, root: Path) -> dict[Path, str]:
    """Return the name of each sequence: its folder's if nothing else is in it, else its files'."""
    folders = Counter(s.path.parent for s in found.sequences)
    folders.update(video.parent for video in found.videos)
    return {
        s.path: _folder_name(s.path.parent, root)
        if folders[s.path.parent] == 1
        else s.path.relative_to(root).as_posix()
        for s in found.sequences
    }


def _folder_name(folder: Path, root: Path) -> str:
    return folder.name if folder == root else folder.relative_to(root).as_posix()
