"""The Executor protocol, and the state that a worker keeps between calls."""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from brickfilm.engine.calls import BatchFunction, open_stage
from brickfilm.engine.stage import Result, Stage, WorkItem
from brickfilm.files import disk_errors


@dataclass(frozen=True)
class CallResult:
    """The results of a call, one for each work item, and the seconds it took."""

    results: Sequence[Result]
    seconds: float


class Executor(Protocol):
    """Runs calls in workers; they complete in any order."""

    def submit(
        self, stage: Stage[Any, Any], work: Path, work_items: Sequence[WorkItem]
    ) -> Future[CallResult]:
        """Start a call; the future raises every error that is not an ItemError."""

    def concurrency(self, stage: Stage[Any, Any]) -> int:
        """Return the number of calls of this stage that can run at the same time."""

    def close(self, *, now: bool = False) -> None:
        """Stop every worker; with `now`, without waiting for calls in flight."""


class WorkerState:
    """The stages that are open in one worker; each is opened at its first call.

    Stages are identified by the caller's `name`, not by digest, which ignores address, API key and
    timeouts.
    """

    def __init__(self) -> None:
        self._open: dict[tuple[Hashable, Path], BatchFunction] = {}
        self._exits = ExitStack()
        self._lock = threading.Lock()

    def run_batch(
        self, name: Hashable, stage: Stage[Any, Any], work: Path, work_items: Sequence[WorkItem]
    ) -> CallResult:
        """Run a call of the stage identified by `name`."""
        started = time.perf_counter()
        with disk_errors(work):
            results = self._batch_function(name, stage, work)(work_items)
        return CallResult(results, time.perf_counter() - started)

    def _batch_function(self, name: Hashable, stage: Stage[Any, Any], work: Path) -> BatchFunction:
        with self._lock:
            if (name, work) not in self._open:
                self._open[name, work] = self._exits.enter_context(open_stage(stage, work))
            return self._open[name, work]

    def close(self) -> None:
        """Close every open stage."""
        self._exits.close()
