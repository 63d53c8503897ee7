"""Run calls on this machine: waiting work in threads, computing work in processes."""

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

from brickfilm.engine.executors.base import CallResult, WorkerState
from brickfilm.engine.stage import Stage, WorkItem
from brickfilm.engine.workers import WorkerContext, worker_pool
from brickfilm.errors import WorkerDied


class LocalExecutor:
    """Threads and spawned processes of this machine.

    processes: computing calls at the same time; the CPUs this process may use, unless given.
    """

    def __init__(self, processes: int | None = None) -> None:
        self._processes = processes or len(os.sched_getaffinity(0))
        self._context = WorkerContext()
        self._pool: ProcessPoolExecutor | None = None
        self._threads: dict[tuple[str, int], ThreadPoolExecutor] = {}
        self._stages: dict[int, Stage[Any, Any]] = {}
        self._pickled_stages: dict[int, bytes] = {}
        self._quarantine = ThreadPoolExecutor(1, thread_name_prefix="quarantine")
        self._worker_state = WorkerState()
        self._lock = threading.Lock()

    def concurrency(self, stage: Stage[Any, Any]) -> int:
        """Calls of this stage that can run at the same time."""
        asked = stage.resources.concurrency
        if stage.resources.pool == "thread":
            return asked or self._processes
        return min(asked or self._processes, self._processes)

    def submit(
        self, stage: Stage[Any, Any], work: Path, work_items: Sequence[WorkItem]
    ) -> Future[CallResult]:
        """Start a call in a thread or a process, as the stage's resources say."""
        self._stages[id(stage)] = stage  # kept, or another stage could get its id
        if stage.resources.pool == "thread":
            run_batch = self._worker_state.run_batch
            return self._thread_pool(stage).submit(run_batch, id(stage), stage, work, work_items)
        return self._submit_to_process(stage, work, work_items)

    def close(self, *, now: bool = False) -> None:
        """Free every worker; `now` kills processes and does not wait for threads."""
        if now:
            self._context.kill()
        for pool in (self._pool, self._quarantine, *self._threads.values()):
            if pool:
                pool.shutdown(wait=not now, cancel_futures=True)
        if not now:
            self._worker_state.close()

    def _thread_pool(self, stage: Stage[Any, Any]) -> ThreadPoolExecutor:
        concurrency = self.concurrency(stage)
        if (stage.digest, concurrency) not in self._threads:
            pool = ThreadPoolExecutor(concurrency, thread_name_prefix=stage.name)
            self._threads[stage.digest, concurrency] = pool
        return self._threads[stage.digest, concurrency]

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
        """A call as a worker gets it; a stage is the same bytes each time, and goes by them."""
        if id(stage) not in self._pickled_stages:
            self._pickled_stages[id(stage)] = cloudpickle.dumps(stage)
        return cloudpickle.dumps((self._pickled_stages[id(stage)], work, work_items))  # type: ignore[no-any-return]

    def _submit_payload(self, payload: bytes) -> Future[bytes]:
        """Submit to the pool; a pool that a dying worker broke is replaced."""
        with self._lock:
            for _ in range(2):
                self._pool = self._pool or worker_pool(self._processes, self._context)
                try:
                    return self._pool.submit(_run_in_worker, payload)
                except BrokenProcessPool:
                    self._pool.shutdown(wait=False)
                    self._pool = None
            raise BrokenProcessPool("worker processes die as they start: is memory left?")

    def _retry_one_by_one(
        self, stage: Stage[Any, Any], work: Path, work_items: Sequence[WorkItem]
    ) -> CallResult:
        """Retry a dead worker's wants, each alone in a process: who kills it is known."""
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
    """Pass a result or an error on; the executor's boundary, so every error is carried."""
    try:
        outer.set_result(get())
    except BaseException as error:  # noqa: BLE001  raised again where the future is read
        outer.set_exception(error)


# -- in a worker process ---------------------------------------------------------------------


def _run_in_worker(payload: bytes) -> bytes:
    pickled_stage, work, work_items = cloudpickle.loads(payload)
    call_result = _WORKER_STATE.run_batch(
        pickled_stage, cloudpickle.loads(pickled_stage), work, work_items
    )
    return cloudpickle.dumps(call_result)  # type: ignore[no-any-return]


_WORKER_STATE = WorkerState()  # what a worker process keeps open between calls
