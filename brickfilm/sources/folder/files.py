"""Find footage in folders: video files, numbered stills, and what is neither."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path

from brickfilm.engine.ledger.file import FILENAME as LEDGER
from brickfilm.errors import UsageError
from brickfilm.media import StillSequence
from brickfilm.schema.containers import VIDEO_SUFFIXES

STILL_SUFFIXES = (".jpeg", ".jpg", ".png", ".tif", ".tiff")
"""Suffixes of stills, which are frames of a video if they are numbered."""
MIN_STILLS = 5
"""Stills of one numbered name from which on they are a sequence, rather than a few pictures."""
SIDECAR_SUFFIXES = (".json", ".srt", ".txt", ".vtt")
"""Suffixes of files that belong to the video of the same name."""
SYSTEM_FILES = ("Thumbs.db", "desktop.ini")
BUILD_FOLDERS = ("clips", "dataset", "stills")
"""Folders that a build writes beside its ledger."""


@dataclass(frozen=True)
class FoundFiles:
    """List the contents of folders: videos, sequences of stills, and files that are neither."""

    videos: Sequence[Path]
    sequences: Sequence[StillSequence]
    passed_over: Sequence[Path]

    @classmethod
    def below(cls, paths: Iterable[str]) -> FoundFiles:
        """Look through files, folders (with everything below them) and globs."""
        named, inside = set[Path](), set[Path]()
        for path in paths:
            (inside if Path(path).is_dir() or not Path(path).exists() else named).update(
                file.absolute() for file in _files(path)
            )
        videos = named | {file for file in inside if file.suffix.lower() in VIDEO_SUFFIXES}
        stills = {file for file in inside if file.suffix.lower() in STILL_SUFFIXES}
        counts = Counter(filter(None, map(StillSequence.of, stills)))
        sequences = {sequence for sequence, count in counts.items() if count >= MIN_STILLS}
        rest = (f for f in inside - videos if StillSequence.of(f) not in sequences)
        sidecars = {video.with_suffix(suffix) for video in videos for suffix in SIDECAR_SUFFIXES}
        return cls(
            sorted(videos),
            sorted(sequences, key=lambda sequence: sequence.path),
            sorted(file for file in rest if file not in sidecars),
        )


def _files(path: str) -> Iterator[Path]:
    """Yield a file, the files below a folder or those of a glob; raise UsageError for none."""
    entry = Path(path)
    if entry.is_dir():
        yield from (p for p in entry.rglob("*") if p.is_file() and not _is_ignored(p, entry))
    elif entry.exists():
        yield entry
    elif has_magic(path):
        matches = glob(path, recursive=True)  # noqa: PTH207  # Path.glob takes no absolute pattern
        yield from (p for p in map(Path, matches) if p.is_file())
    else:
        raise UsageError(f"there is no {path!r}: give a folder, a file or a glob of videos")


def _is_ignored(file: Path, root: Path) -> bool:
    """Return True for hidden files, and for what a build wrote below the folder."""
    if file.name.startswith(".") or file.name in SYSTEM_FILES:
        return True
    for folder in file.parents:
        if (folder / LEDGER).is_file():
            first = file.relative_to(folder).parts[0]
            is_written = first == file.name and file.suffix.lower() not in VIDEO_SUFFIXES
            return first in BUILD_FOLDERS or is_written
        if folder == root:
            break
    return False
