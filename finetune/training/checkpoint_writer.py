"""Write a run's checkpoints, at once or in a thread beside the next steps."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch.distributed as dist

from finetune.config import Checkpoints
from finetune.engines.base import Engine
from finetune.engines.distributed import rank_and_world_size
from finetune.errors import CheckpointError
from finetune.training.checkpoint import new_draft, save, state_files, write

log = logging.getLogger(__name__)

WRITE_LIMIT = timedelta(minutes=30)  # between the first and the last rank that wrote its files
AfterSave = Callable[[Path], None]


class CheckpointWriter:
    """Writes one checkpoint at a time; every rank must call each method at the same step.

    If `policy.asynchronous`, `save` copies this rank's files to the host's memory and returns;
    a thread writes them, and completes the checkpoint with the other ranks' threads over a process
    group of its own. An error is logged at once, and raised on all ranks by the next call.
    """

    def __init__(self, policy: Checkpoints) -> None:
        self._policy, self._group = policy, None
        self._pending: Future[None] | None = None
        self._pool = ThreadPoolExecutor(1, "checkpoint") if policy.asynchronous else None
        if self._pool and rank_and_world_size()[1] > 1:
            self._group = dist.new_group(backend="gloo", timeout=WRITE_LIMIT)

    def save(
        self,
        out: Path,
        step: int,
        engine: Engine,
        about: Mapping[str, Any],
        config: Mapping[str, Any],
        after: AfterSave,
    ) -> None:
        """Write a checkpoint as `checkpoint.save` does; rank 0 calls `after` with its folder."""
        if self._pool is None:
            _finish(save(out, step, engine, about, self._policy, config), engine, after)
            return
        self.wait()
        draft = new_draft(out, step, engine, about, self._policy)
        files = [file.copied() for file in state_files(engine, config, self._policy)]

        def work() -> None:
            try:
                _finish(write(draft, files, self._group), engine, after)
            except CheckpointError as error:
                log.error("%s", error)
                raise

        self._pending = self._pool.submit(work)

    def wait(self) -> None:
        """Wait until the last checkpoint is complete; raise its CheckpointError."""
        if self._pending is not None:
            pending, self._pending = self._pending, None
            pending.result()

    def close(self) -> None:
        """Wait for the thread without raising its error, after one of the run itself."""
        if self._pool is not None:
            self._pool.shutdown()


def _finish(saved: Path, engine: Engine, after: AfterSave) -> None:
    if engine.rank == 0:
        after(saved)
