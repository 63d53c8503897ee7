"""Run calls on this machine: in threads if they wait, in processes if they compute."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import cloudpickle

from brickfilm.engine.executors.base import (
    CallResult,
    PickledStages,
    StageThreads,
    WorkerState,
    pickle_call,
)
from brickfilm.engine.stage import Stage, WorkItem
from brickfilm.engine.workers import WorkerContext, worker_pool
from brickfilm.errors import WorkerDied


class LocalExecutor:
    """Run calls in threads and spawned processes of this machine.

    processes: number of worker processes, by default the CPUs that this process may use.
    """

    def __init__(self, processes: int | None = None) -> None:
        self._processes = processes or len(os.sched_getaffinity(0))
        self._context = WorkerContext()
        self._pool: ProcessPoolExecutor | None = None
        self._threads = StageThreads()
        self._stages = PickledStages()
        self._quarantine = ThreadPoolExecutor(1, thread_name_prefix="quarantine")
        self._lock = threading.Lock()

    def concurrency(self, stage: Stage[Any, Any]) -> int:
        """Return the number of calls of this stage that can run at the same time."""
        concurrency = stage.resources.concurrency or self._processes
        if stage.resources.pool == "thread":
            return concurrency
        return min(concurrency, self._processes)

    def submit(
        self, stage: Stage[Any, Any], work: Path, work_items: Sequence[WorkItem]
    ) -> Future[CallResult]:
        """Start a call in a thread or a process, as the stage's resources require."""
        if stage.resources.pool == "thread":
            return self._threads.submit(stage, self.concurrency(stage), work, work_items)
        return self._submit_to_process(stage, work, work_items)

    def close(self, *, now: bool = False) -> None:
        """Stop every worker; with `now`, kill processes and do not wait for threads."""
        if now:
            self._context.kill()
        for pool in (self._pool, self._quarantine):
            if pool:
                pool.shutdown(wait=not now, cancel_futures=True)
        self._threads.close(now=now)

    def _submit_to_process(
        self, stage: Stage[Any, Any], work: Path, work_items: Sequence[WorkItem]
    ) -> Future[CallResult]:
        outer: Future[CallResult] = Future()
        outer.set_running_or_notify_cancel()

        def on_done(inner: Future[bytes]) -> None:
            error = inner.exception()
            if isinstance(error, BrokenProcessPool):
                self._quarantine.submit(
                    _resolve_future, outer, lambda: self._retry_one_by_one(stage, work, work_items)
                )
            else:
                _resolve_future(outer, lambda: cloudpickle.loads(inner.result()))

        self._submit_payload(self._payload(stage, work, work_items)).add_done_callback(on_done)
        return outer

    def _payload(self, stage: Stage[Any, Any], work: Path, work_items: Sequence[WorkItem]) -> bytes:
        return pickle_call(self._stages.pickle(stage), work, work_items)

    def _submit_payload(self, payload: bytes) -> Future[bytes]:
        """Submit to the pool, replacing a pool that a dying worker broke."""
        with self._lock:
            for _ in range(2):
                self._pool = self._pool or worker_pool(self._processes, self._context)
                try:
                    return self._pool.submit(_run_in_worker, payload)
                except BrokenProcessPool:
                    self._pool.shutdown(wait=False)
                    self._pool = None
            raise BrokenProcessPool("worker processes die as they start: is there enough memory?")

    def _retry_one_by_one(
        self, stage: Stage[Any, Any], work: Path, work_items: Sequence[WorkItem]
    ) -> CallResult:
        """Retry a dead worker's items, each in a process of its own, to find the one at fault."""
        started = time.perf_counter()
        results = []
        for work_item in work_items:
            with worker_pool(1, self._context) as pool:
                try:
                    answer = pool.submit(
                        _run_in_worker, self._payload(stage, work, [work_item])
                    ).result()
                    results.extend(cloudpickle.loads(answer).results)
                except BrokenProcessPool:
                    results.append(
                        WorkerDied(f"{work_item.item.id} kills the process of {stage.name}")
                    )
        return CallResult(results, time.perf_counter() - started)


def _resolve_future(outer: Future[CallResult], get: Any) -> None:
    """Set the future's result, or any error: this is the executor's boundary."""
    try:
        outer.set_result(get())
    except BaseException as error:  # noqa: BLE001  raised again where the future is read
        outer.set_exception(error)


# -- in a worker process ---------------------------------------------------------------------


def _run_in_worker(payload: bytes) -> bytes:
    return _WORKER_STATE.run_pickled(payload)


_WORKER_STATE = WorkerState()  # of a worker process, kept between calls
