"""Write files and folders atomically, lock them, and end with the parent process.

Standard library only, since `finetune` imports it without brickfilm's dependencies installed.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import multiprocessing
import os
import shutil
import socket
import struct
import threading
import time
import tomllib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, BinaryIO

from brickfilm.errors import UsageError, WorkdirUnusable

log = logging.getLogger(__name__)

DISK_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
TEMP_SUFFIX = ".tmp"
REPLACED_SUFFIX = ".replaced"
ORPHAN_CHECK_SECONDS = 0.5
DAMAGED_PICKLE_ERRORS = (
    *(OSError, RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError),
    *(AssertionError, ArithmeticError, MemoryError, UnpicklingError, struct.error),
)
"""What torch's reader of tensors in pickles raises for damaged ones."""
MAX_TOML = 1 << 17
"""Longest text of TOML: a recipe has 3,000 characters, and long keys take minutes to compare."""


def temp_path(target: Path) -> Path:
    """Return the name of a file or folder while this process writes it, beside `target`."""
    return target.with_name(f".{target.name}.{os.getpid()}{TEMP_SUFFIX}")


def commit_file(temporary: Path, target: Path) -> None:
    """Flush a complete file to disk, then rename it to `target`."""
    sync_path(temporary)
    temporary.replace(target)


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary name to write; it becomes `target` at the end of the block.

    After an error the temporary file is deleted and `target` is as before. A process that has the
    old file mapped continues to read the old content.
    """
    temporary = temp_path(target)
    try:
        yield temporary
        commit_file(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_write(target: Path) -> Iterator[BinaryIO]:
    """Yield a binary stream whose content becomes `target` at the end of the block."""
    with atomic_path(target) as temporary, temporary.open("wb") as stream:
        yield stream


def sync_path(path: Path) -> None:
    """Flush a file or a folder's entries to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace_folder(new: Path, target: Path) -> None:
    """Put the folder `new` in the place of `target`, with or without an older one there.

    The old folder is renamed aside, the new one renamed in, and the old one deleted last, so that
    a kill at any moment leaves one of the two complete; `recover_folder` finds it. The renames
    hold the lock of the parent folder, which readers wait for.
    """
    for path in (*new.rglob("*"), new):
        sync_path(path)
    old = _replaced_path(target)
    with _locked_folder(target.parent):
        _recover(target)
        shutil.rmtree(old, ignore_errors=True)
        if target.exists():
            target.rename(old)
        new.rename(target)
    sync_path(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def recover_folder(target: Path) -> None:
    """Rename the old folder back if `replace_folder` was killed between its two renames.

    If that is not dead but at work, wait until its renames are done.
    """
    if _replaced_path(target).is_dir() and not target.exists():
        with _locked_folder(target.parent):
            _recover(target)


def recover_folders(parent: Path) -> None:
    """Recover every folder of `parent`, and delete old ones whose replacement is complete."""
    for old in parent.glob(f".*{REPLACED_SUFFIX}"):
        recover_folder(old.with_name(old.name[1:].removesuffix(REPLACED_SUFFIX)))
        shutil.rmtree(old, ignore_errors=True)


def _recover(target: Path) -> None:
    old = _replaced_path(target)
    if old.is_dir() and not target.exists():
        old.rename(target)


@contextmanager
def _locked_folder(folder: Path) -> Iterator[None]:
    """Wait for the lock of a folder, which its process loses when it ends."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks, or one that needs a writable file
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _replaced_path(target: Path) -> Path:
    return target.with_name(f".{target.name}{REPLACED_SUFFIX}")


@contextmanager
def lock_file(
    path: Path, *, busy: Callable[[str], Exception], unwritable: Callable[[OSError], Exception]
) -> Iterator[None]:
    """Lock a file for one process; the system releases the lock when that process ends.

    Raise `busy(holder)` if another process has the lock, and `unwritable(error)` if the file or its
    folder cannot be created. On a file system without locks, log a warning and continue.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
    except OSError as error:
        raise unwritable(error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise busy(file.read().strip() or "another process") from None
        except OSError:
            log.warning("%s cannot be locked: see that no other process writes there", path)
        file.truncate(0)
        print(f"process {os.getpid()} on {socket.gethostname()}", file=file, flush=True)
        yield


def exit_with_parent() -> None:
    """Watch the parent of this worker process in a thread, and end this process when it is gone."""
    parent = multiprocessing.parent_process()
    assert parent is not None and parent.pid is not None, "call it in a worker process"
    threading.Thread(target=_exit_when_orphaned, args=(parent.pid,), daemon=True).start()


def _exit_when_orphaned(parent_pid: int) -> None:
    while os.getppid() == parent_pid:
        time.sleep(ORPHAN_CHECK_SECONDS)
    os._exit(1)


@contextmanager
def disk_errors(folder: Path, remedy: str = "make room") -> Iterator[None]:
    """Raise WorkdirUnusable with the remedy if the disk of `folder` is full."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL_ERRNOS:
            raise WorkdirUnusable(
                f"the disk of {str(folder)!r} is full: {remedy} and run the same command again"
            ) from error
        raise


def check_own_folder(folder: Path, marks: Collection[str], own: Collection[str] = ()) -> None:
    """Raise UsageError if a folder holds files of others, which would be mixed with ours.

    marks: names that only we write, any of which makes the folder ours. own: names that may be
    there before us.
    """
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    others = sorted(names - set(own))
    if others and not names & set(marks):
        shown = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
        raise UsageError(
            f"{str(folder)!r} holds other files ({shown}), and is not a folder of brickfilm's: "
            "name a new or an empty one"
        )


def make_folder(folder: Path) -> Path:
    """Create a folder to write into; raise UsageError if it cannot be created."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{str(folder)!r} cannot be written ({error.strerror}): name another folder"
        ) from error
    return folder


def printable(name: str) -> str:
    """Return a file's name as valid Unicode: bytes that are not UTF-8 become `\\xff`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def parse_toml(text: str) -> dict[str, Any]:
    """Parse TOML of anybody; raise TOMLDecodeError too for one nested too deeply or too long."""
    if len(text) > MAX_TOML:
        raise tomllib.TOMLDecodeError(f"it has {len(text):,} characters, and {MAX_TOML:,} are read")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise tomllib.TOMLDecodeError("nested too deeply") from None


def parse_json(text: str | bytes) -> Any:
    """Parse JSON that may be damaged; raise ValueError too where it is nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError:
        raise json.JSONDecodeError("nested too deeply", str(text[:60]), 0) from None
