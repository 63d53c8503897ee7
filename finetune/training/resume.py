"""Find the checkpoint to resume from, and lock the run folder."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch.distributed as dist

from brickfilm.files import lock_file, recover_folders
from finetune.engines.distributed import rank_and_world_size
from finetune.errors import CheckpointError, ConfigError
from finetune.training.checkpoint_folders import (
    MANIFEST_FILE,
    delete_unfinished,
    latest_checkpoint,
    list_checkpoints,
    verify_checkpoint,
)

log = logging.getLogger(__name__)

LOCK_FILE = ".lock"
RUN_FILES = ("metrics.jsonl", "log.txt", "summary.json", "validation")
"""What a run writes beside its checkpoints, under names that others use too."""


class ResumePoint(NamedTuple):
    """A verified checkpoint."""

    folder: Path
    manifest: dict[str, Any]


@contextmanager
def lock_run_folder(out: Path) -> Iterator[None]:
    """Lock a run's folder on rank 0, and repair what a kill left of its checkpoints.

    Raise ConfigError if another run has the lock, or a file of others is where a run writes.
    """
    if rank_and_world_size()[0] > 0:
        yield
        return
    _check_own_folder(out)
    with lock_file(
        out / LOCK_FILE,
        busy=lambda holder: ConfigError(
            f"{out} is in use by another run ({holder}): wait for its end, or name another out"
        ),
        unwritable=lambda error: ConfigError(
            f"{out} cannot be written ({error.strerror}): name another out"
        ),
    ):
        recover_folders(out)
        delete_unfinished(out)
        yield


def _check_own_folder(out: Path) -> None:
    """Raise ConfigError for files named as a run's in a folder without a run: they are others'."""
    names = {path.name for path in out.iterdir()} if out.is_dir() else set()
    others = sorted(names & set(RUN_FILES))
    if others and LOCK_FILE not in names and not any(out.glob(f"step-*/{MANIFEST_FILE}")):
        raise ConfigError(
            f"{out} holds {', '.join(others)} and no run, so they are not ours: name another out"
        )


def find_resume_point(out: Path, resume: str | None) -> ResumePoint | None:
    """Return the checkpoint to resume from, the same on every rank; every rank must call.

    resume: "auto" (the newest intact checkpoint of `out`, or none), a folder, or None. Rank 0
    searches for all, since verifying reads every file.
    """
    rank, world_size = rank_and_world_size()
    points = [_resolve_resume(out, resume) if rank == 0 else None]
    if world_size > 1:
        dist.broadcast_object_list(points)
    return points[0]


def _resolve_resume(out: Path, resume: str | None) -> ResumePoint | None:
    if resume == "auto":
        return _latest_intact(out)
    if resume:
        folder = Path(resume)
        _refuse_older_than_latest(folder, out)
        return ResumePoint(folder, verify_checkpoint(folder))
    if latest := latest_checkpoint(out):
        raise ConfigError(
            f"{out} already holds {latest}: continue with --resume auto, or name another out"
        )
    return None


def _latest_intact(out: Path) -> ResumePoint | None:
    """Return the newest intact checkpoint, and rename damaged newer ones to `.damaged`.

    Raise the newest one's CheckpointError if all are damaged.
    """
    damaged: dict[Path, CheckpointError] = {}
    for folder in reversed(list_checkpoints(out)):
        try:
            intact = ResumePoint(folder, verify_checkpoint(folder))
        except CheckpointError as error:
            damaged[folder] = error
            continue
        for bad, reason in damaged.items():
            aside = bad.with_suffix(".damaged")
            shutil.rmtree(aside, ignore_errors=True)
            bad.rename(aside)
            log.warning("%s. It is now %s; resuming from %s", reason, aside, folder)
        return intact
    if damaged:
        raise next(iter(damaged.values()))
    return None


def _refuse_older_than_latest(folder: Path, out: Path) -> None:
    """Raise ConfigError if the run has later checkpoints: repeated steps would mix with them."""
    if folder.resolve().parent != out.resolve():
        return
    newer = [p.name for p in list_checkpoints(out) if p.name > folder.name]
    if newer:
        raise ConfigError(
            f"{out} holds later checkpoints than {folder.name} ({', '.join(newer)}): delete them, "
            "or name another out"
        )
