"""Where a run begins: at nothing, or at a checkpoint; and that nobody else trains in its folder."""

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
from finetune.training.checkpoint import latest_checkpoint, list_checkpoints, verify_checkpoint

log = logging.getLogger(__name__)

LOCK_FILE = ".lock"


class ResumePoint(NamedTuple):
    """A checkpoint that is as it was written."""

    folder: Path
    manifest: dict[str, Any]


@contextmanager
def lock_run_folder(out: Path) -> Iterator[None]:
    """The folder is this run's alone, as long as its rank 0 lives; half a checkpoint is swept.

    Raises ConfigError if another run has it.
    """
    if rank_and_world_size()[0] > 0:
        yield
        return
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
        for unfinished in out.glob("step-*.tmp"):
            shutil.rmtree(unfinished, ignore_errors=True)
        yield


def find_resume_point(out: Path, resume: str | None) -> ResumePoint | None:
    """Where to go on, the same on every rank: rank 0 looks, since looking reads every file.

    resume: "auto" (the newest good checkpoint of `out`, if there is one), a folder, or none.
    """
    rank, world_size = rank_and_world_size()
    found = [_resolve_resume(out, resume) if rank == 0 else None]
    if world_size > 1:
        dist.broadcast_object_list(found)
    return found[0]


def _resolve_resume(out: Path, resume: str | None) -> ResumePoint | None:
    if resume == "auto":
        return _latest_intact(out)
    if resume:
        folder = Path(resume)
        _refuse_older_than_latest(folder, out)
        return ResumePoint(folder, verify_checkpoint(folder))
    if there := latest_checkpoint(out):
        raise ConfigError(
            f"{out} already holds {there}: go on with --resume auto, or name another out"
        )
    return None


def _latest_intact(out: Path) -> ResumePoint | None:
    """Damaged checkpoints after it are set aside; if no other is left, the newest one's error."""
    damaged: dict[Path, CheckpointError] = {}
    for folder in reversed(list_checkpoints(out)):
        try:
            good = ResumePoint(folder, verify_checkpoint(folder))
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


def _refuse_older_than_latest(folder: Path, out: Path) -> None:
    """Raise ConfigError if the run has been further: old and new steps would mix in its folder."""
    if folder.resolve().parent != out.resolve():
        return
    newer = [p.name for p in list_checkpoints(out) if p.name > folder.name]
    if newer:
        raise ConfigError(
            f"{out} holds later checkpoints than {folder.name} ({', '.join(newer)}): delete them, "
            "or name another out"
        )
