"""What a disk refuses, in one line with the remedy."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from brickfilm.errors import UsageError, WorkdirUnusable

DISK_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def disk_errors(folder: Path, remedy: str = "make room") -> Iterator[None]:
    """A disk that is full is said in words; raises WorkdirUnusable."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL_ERRNOS:
            raise WorkdirUnusable(
                f"the disk of {str(folder)!r} is full: {remedy} and run the same command again"
            ) from error
        raise


def make_folder(folder: Path) -> Path:
    """A folder to write into; raises UsageError where there can be none."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{str(folder)!r} cannot be written ({error.strerror}): name another folder"
        ) from error
    return folder
