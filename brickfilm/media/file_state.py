"""Tell whether a video's file is still the one that was probed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from brickfilm.digest import digest_of
from brickfilm.errors import MediaError
from brickfilm.media.still_sequence import StillSequence


def file_state(path: Path) -> str:
    """Return size and modification time of a file, or a digest of those of numbered stills.

    Raise MediaError if there is none.
    """
    try:
        if sequence := StillSequence.at(path):
            files = [(file.name, *_size_and_time(file)) for _, file in sequence.files]
            return digest_of(sorted(map(repr, files)))
        return ":".join(map(str, _size_and_time(path)))
    except OSError as error:
        raise MediaError(f"{path.name!r} cannot be read: {error.strerror}") from error


def check_unchanged(path: Path, state: str) -> None:
    """Raise MediaError if a file is not in its state of before; '' if that is unknown."""
    if state and file_state(path) != state:
        raise MediaError(f"{path.name!r} changed during the build: run again", reason="changed")


@contextmanager
def unchanged(path: Path, state: str) -> Iterator[None]:
    """Check before and after a block that a file is in its state of before."""
    check_unchanged(path, state)
    yield
    check_unchanged(path, state)


def _size_and_time(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns
