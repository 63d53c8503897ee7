"""Lock a shard between machines: a lock file whose time a living owner renews.

Locks of the system end with their process, but not every shared file system has them.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from brickfilm.errors import WorkdirBusy, WorkdirUnusable
from brickfilm.files import parse_json

BEAT_SECONDS = 20.0
STALE_SECONDS = 600.0
"""A lock that was not renewed for so long may be taken over: thirty beats, so that a file server
may be away for minutes."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Owner:
    """The process that holds a lock."""

    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    boot: str = field(default_factory=lambda: _BOOT_ID.read_text() if _BOOT_ID.is_file() else "")
    token: str = field(default_factory=lambda: secrets.token_hex(8))

    @classmethod
    def read(cls, path: Path) -> Owner | None:
        """Return the owner; None if nobody holds the lock, or if its file was not written whole."""
        try:
            return cls(**parse_json(path.read_bytes()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    @property
    def has_ended(self) -> bool:
        """Return True if it was a process of this machine that is not there any more."""
        if not self.boot or self.boot != Owner().boot:
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False


@contextmanager
def heartbeat_lock(
    path: Path, *, take_over: bool = False, beat_seconds: float = BEAT_SECONDS
) -> Iterator[None]:
    """Hold a lock file, and renew its time until the block ends.

    Raise WorkdirBusy if another process holds it. The lock of an ended process of this machine is
    taken; one that was not renewed for STALE_SECONDS only with `take_over`. If its owner lives
    after all, it exits as soon as it sees that the lock is another's.
    """
    owner = Owner()
    _acquire(path, owner, take_over)
    stop = threading.Event()
    beat = threading.Thread(target=_beat, args=(path, owner, stop, beat_seconds), daemon=True)
    beat.start()
    try:
        yield
    finally:
        stop.set()
        beat.join()
        if Owner.read(path) == owner:
            path.unlink(missing_ok=True)


def _acquire(path: Path, owner: Owner, take_over: bool) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not _create(path, owner):
            _clear(path, take_over)
            if not _create(path, owner):
                raise _busy(path, Owner.read(path), "has just taken it")
    except OSError as error:
        raise WorkdirUnusable(
            f"the lock {str(path)!r} cannot be written ({error.strerror}): name another folder"
        ) from error


def _create(path: Path, owner: Owner) -> bool:
    """Create the lock file; return False if there is one."""
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return False
    with os.fdopen(handle, "w") as file:
        json.dump(asdict(owner), file)
        file.flush()
        os.fsync(file.fileno())
    return True


def _clear(path: Path, take_over: bool) -> None:
    """Move away the lock of an owner that has ended; raise WorkdirBusy if it may live."""
    holder, age = Owner.read(path), _age(path)
    if not (holder and holder.has_ended):
        if age < STALE_SECONDS:
            raise _busy(path, holder, f"was there {age:.0f} s ago: wait for it")
        if not take_over:
            raise _busy(
                path,
                holder,
                f"was last there {age / 60:.0f} minutes ago: see that it has ended, then run the "
                "same command with --take-over",
            )
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with suppress(FileNotFoundError):  # another process was faster
        path.rename(aside)
        if Owner.read(aside) != holder:  # and holds the lock by now
            aside.rename(path)
            raise _busy(path, Owner.read(path), "has just taken it")
        aside.unlink()


def _age(path: Path) -> float:
    """Return the seconds since the lock was renewed, by the clock of the file server alone."""
    probe = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        probe.touch()
        return probe.stat().st_mtime - path.stat().st_mtime
    except FileNotFoundError:  # released meanwhile
        return 0.0
    finally:
        probe.unlink(missing_ok=True)


def _busy(path: Path, holder: Owner | None, what: str) -> WorkdirBusy:
    name = f"process {holder.pid} on {holder.host}" if holder else "another process"
    return WorkdirBusy(f"{str(path)!r} is held by {name}, which {what}")


def _beat(path: Path, owner: Owner, stop: threading.Event, seconds: float) -> None:
    while not stop.wait(seconds):
        try:
            holder = Owner.read(path)
            if holder == owner:
                os.utime(path)
        except OSError:  # the file server is away: it may be back at the next beat
            continue
        if holder != owner:
            by = f"taken over by process {holder.pid} on {holder.host}" if holder else "deleted"
            print(f"error: {path} was {by}: this process ends", file=sys.stderr, flush=True)
            os._exit(1)
