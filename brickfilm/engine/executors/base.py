"""The Executor protocol, and what its implementations share."""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cloudpickle

from brickfilm.engine.calls import BatchFunction, open_stage
from brickfilm.engine.free_memory import FreeMemory
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

    def __init__(self, free_memory: FreeMemory | None = None) -> None:
        self._free_memory = free_memory or FreeMemory()
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
        seconds = time.perf_counter() - started
        if stage.resources.pool == "process":  # threads are the driver's, with more to collect
            self._free_memory.after(seconds)
        return CallResult(results, seconds)

    def run_pickled(self, payload: bytes) -> bytes:
        """Run a call of `pickle_call` in a worker, and pickle its result."""
        pickled_stage, work, work_items = cloudpickle.loads(payload)
        stage = cloudpickle.loads(pickled_stage)
        return cloudpickle.dumps(self.run_batch(pickled_stage, stage, work, work_items))  # type: ignore[no-any-return]

    def _batch_function(self, name: Hashable, stage: Stage[Any, Any], work: Path) -> BatchFunction:
        with self._lock:
            if (name, work) not in self._open:
                self._open[name, work] = self._exits.enter_context(open_stage(stage, work))
            return self._open[name, work]

    def close(self) -> None:
        """Close every open stage."""
        self._exits.close()


class StageThreads:
    """Threads of the driver: a pool for each stage and number of calls at the same time."""

    def __init__(self) -> None:
        self._pools: dict[tuple[str, int], ThreadPoolExecutor] = {}
        self._stages: dict[int, Stage[Any, Any]] = {}
        self._state = WorkerState()

    def submit(
        self, stage: Stage[Any, Any], concurrency: int, work: Path, work_items: Sequence[WorkItem]
    ) -> Future[CallResult]:
        """Start a call in a thread."""
        self._stages[id(stage)] = stage  # keep it alive, or another stage could get its id
        key = stage.digest, concurrency
        if key not in self._pools:
            self._pools[key] = ThreadPoolExecutor(concurrency, thread_name_prefix=stage.name)
        return self._pools[key].submit(self._state.run_batch, id(stage), stage, work, work_items)

    def close(self, *, now: bool = False) -> None:
        """Wait for the threads and close every stage; with `now`, only cancel what waits."""
        for pool in self._pools.values():
            pool.shutdown(wait=not now, cancel_futures=True)
        if not now:
            self._state.close()


class PickledStages:
    """Stages as bytes, pickled once: the same bytes identify a stage in a worker."""

    def __init__(self) -> None:
        self._pickled: dict[int, tuple[Stage[Any, Any], bytes]] = {}

    def pickle(self, stage: Stage[Any, Any]) -> bytes:
        """Return the bytes of a stage."""
        if id(stage) not in self._pickled:  # also keeps it alive, or another could get its id
            self._pickled[id(stage)] = stage, cloudpickle.dumps(stage)
        return self._pickled[id(stage)][1]


def pickle_call(pickled_stage: bytes, work: Path, work_items: Sequence[WorkItem]) -> bytes:
    """Pickle a call for `WorkerState.run_pickled`."""
    return cloudpickle.dumps((pickled_stage, work, work_items))  # type: ignore[no-any-return]
