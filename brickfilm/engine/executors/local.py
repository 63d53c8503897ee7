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

from brickfilm.engine.executors.base import Bench, Delivery
from brickfilm.engine.stage import Stage, Want
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
        self._seen: dict[int, Stage[Any, Any]] = {}
        self._packed: dict[int, bytes] = {}
        self._quarantine = ThreadPoolExecutor(1, thread_name_prefix="quarantine")
        self._bench = Bench()
        self._lock = threading.Lock()

    def width(self, stage: Stage[Any, Any]) -> int:
        """Calls of this stage that can run at the same time."""
        asked = stage.resources.width
        if stage.resources.pool == "thread":
            return asked or self._processes
        return min(asked or self._processes, self._processes)

    def submit(self, stage: Stage[Any, Any], work: Path, wants: Sequence[Want]) -> Future[Delivery]:
        """Start a call in a thread or a process, as the stage's resources say."""
        self._seen[id(stage)] = stage  # kept, or another stage could get its id
        if stage.resources.pool == "thread":
            perform = self._bench.perform
            return self._thread_pool(stage).submit(perform, id(stage), stage, work, wants)
        return self._submit_to_process(stage, work, wants)

    def close(self, *, now: bool = False) -> None:
        """Free every worker; `now` kills processes and does not wait for threads."""
        if now:
            self._context.kill()
        for pool in (self._pool, self._quarantine, *self._threads.values()):
            if pool:
                pool.shutdown(wait=not now, cancel_futures=True)
        if not now:
            self._bench.close()

    def _thread_pool(self, stage: Stage[Any, Any]) -> ThreadPoolExecutor:
        width = self.width(stage)
        if (stage.digest, width) not in self._threads:
            pool = ThreadPoolExecutor(width, thread_name_prefix=stage.name)
            self._threads[stage.digest, width] = pool
        return self._threads[stage.digest, width]

    def _submit_to_process(
        self, stage: Stage[Any, Any], work: Path, wants: Sequence[Want]
    ) -> Future[Delivery]:
        outer: Future[Delivery] = Future()
        outer.set_running_or_notify_cancel()

        def hand_over(inner: Future[bytes]) -> None:
            error = inner.exception()
            if isinstance(error, BrokenProcessPool):
                self._quarantine.submit(
                    _settle, outer, lambda: self._one_by_one(stage, work, wants)
                )
            else:
                _settle(outer, lambda: cloudpickle.loads(inner.result()))

        self._send(self._payload(stage, work, wants)).add_done_callback(hand_over)
        return outer

    def _payload(self, stage: Stage[Any, Any], work: Path, wants: Sequence[Want]) -> bytes:
        """A call as a worker gets it; a stage is the same bytes each time, and goes by them."""
        if id(stage) not in self._packed:
            self._packed[id(stage)] = cloudpickle.dumps(stage)
        return cloudpickle.dumps((self._packed[id(stage)], work, wants))  # type: ignore[no-any-return]

    def _send(self, payload: bytes) -> Future[bytes]:
        """Submit to the pool; a pool that a dying worker broke is replaced."""
        with self._lock:
            for _ in range(2):
                self._pool = self._pool or worker_pool(self._processes, self._context)
                try:
                    return self._pool.submit(_perform, payload)
                except BrokenProcessPool:
                    self._pool.shutdown(wait=False)
                    self._pool = None
            raise BrokenProcessPool("worker processes die as they start: is memory left?")

    def _one_by_one(self, stage: Stage[Any, Any], work: Path, wants: Sequence[Want]) -> Delivery:
        """Retry a dead worker's wants, each alone in a process: who kills it is known."""
        started = time.perf_counter()
        landed = []
        for want in wants:
            with worker_pool(1, self._context) as pool:
                try:
                    answer = pool.submit(_perform, self._payload(stage, work, [want])).result()
                    landed.extend(cloudpickle.loads(answer).landed)
                except BrokenProcessPool:
                    landed.append(WorkerDied(f"{want.item.id} kills the process of {stage.name}"))
        return Delivery(landed, time.perf_counter() - started)


def _settle(outer: Future[Delivery], get: Any) -> None:
    """Pass a result or an error on; the executor's boundary, so every error is carried."""
    try:
        outer.set_result(get())
    except BaseException as error:  # noqa: BLE001  raised again where the future is read
        outer.set_exception(error)


# -- in a worker process ---------------------------------------------------------------------


def _perform(payload: bytes) -> bytes:
    packed, work, wants = cloudpickle.loads(payload)
    delivery = _BENCH.perform(packed, cloudpickle.loads(packed), work, wants)
    return cloudpickle.dumps(delivery)  # type: ignore[no-any-return]


_BENCH = Bench()  # what a worker process keeps open between calls
