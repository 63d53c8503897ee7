"""Where a run begins: at nothing, or at a checkpoint; and that nobody else trains in its folder."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch.distributed as dist

from finetune.engines.distributed import rank_and_world
from finetune.errors import CheckpointError, ConfigError
from finetune.training.checkpoint import all_of, check, newest

log = logging.getLogger(__name__)

LOCK = ".lock"


class Start(NamedTuple):
    """A checkpoint that is as it was written."""

    folder: Path
    manifest: dict[str, Any]


@contextmanager
def owned(out: Path) -> Iterator[None]:
    """The folder is this run's alone, as long as its rank 0 lives; half a checkpoint is swept.

    Raises ConfigError if another run has it.
    """
    if rank_and_world()[0] > 0:
        yield
        return
    out.mkdir(parents=True, exist_ok=True)
    with (out / LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise ConfigError(
                f"{out} is in use by another run ({file.read().strip()}): wait for its end, or "
                "name another out"
            ) from error
        except OSError:  # a file system that knows no locks
            log.warning("%s cannot be locked: see that no other run has the same out", out)
        file.truncate(0)
        print(f"process {os.getpid()} on {socket.gethostname()}", file=file, flush=True)
        for unfinished in out.glob("step-*.tmp"):
            shutil.rmtree(unfinished, ignore_errors=True)
        yield


def start_of(out: Path, resume: str | None) -> Start | None:
    """Where to go on, the same on every rank: rank 0 looks, since looking reads every file.

    resume: "auto" (the newest good checkpoint of `out`, if there is one), a folder, or none.
    """
    rank, world = rank_and_world()
    found = [_look(out, resume) if rank == 0 else None]
    if world > 1:
        dist.broadcast_object_list(found)
    return found[0]


def _look(out: Path, resume: str | None) -> Start | None:
    if resume == "auto":
        return _newest_good(out)
    if resume:
        folder = Path(resume)
        _refuse_newer(folder, out)
        return Start(folder, check(folder))
    if there := newest(out):
        raise ConfigError(
            f"{out} already holds {there}: go on with --resume auto, or name another out"
        )
    return None


def _newest_good(out: Path) -> Start | None:
    """Damaged checkpoints after it are set aside; if no other is left, the newest one's error."""
    damaged: dict[Path, CheckpointError] = {}
    for folder in reversed(all_of(out)):
        try:
            good = Start(folder, check(folder))
        except CheckpointError as error:
            damaged[folder] = error
            continue
        for bad, reason in damaged.items():
            aside = bad.with_suffix(".damaged")
            shutil.rmtree(aside, ignore_errors=True)
            bad.rename(aside)
            log.warning("%s. It is set aside as %s; going on from %s", reason, aside, folder)
        return good
    if damaged:
        raise next(iter(damaged.values()))
    return None


def _refuse_newer(folder: Path, out: Path) -> None:
    """Raise ConfigError if the run has been further: old and new steps would mix in its folder."""
    if folder.resolve().parent != out.resolve():
        return
    newer = [p.name for p in all_of(out) if p.name > folder.name]
    if newer:
        raise ConfigError(
            f"{out} holds later checkpoints than {folder.name} ({', '.join(newer)}): delete them, "
            "or name another out"
        )
