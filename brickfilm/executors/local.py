"""Run calls on this machine: waiting work in threads, computing work in processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
import types
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from typing import Any

import cloudpickle

from brickfilm.errors import WorkerDied
from brickfilm.executors.base import Bench, Delivery
from brickfilm.stage import Stage, Want

ORPHAN_CHECK_SECONDS = 0.5


class LocalExecutor:
    """Threads and spawned processes of this machine.

    processes: computing calls at the same time; the CPUs this process may use, unless given.
    """

    def __init__(self, processes: int | None = None) -> None:
        self._processes = processes or len(os.sched_getaffinity(0))
        self._pool: ProcessPoolExecutor | None = None
        self._threads: dict[str, ThreadPoolExecutor] = {}
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
        if stage.resources.pool == "thread":
            return self._thread_pool(stage).submit(self._bench.perform, stage, work, wants)
        return self._submit_to_process(stage, work, wants)

    def close(self, *, now: bool = False) -> None:
        """Free every worker; `now` kills processes and does not wait for threads."""
        if self._pool and now:
            _kill_workers()
        for pool in (self._pool, self._quarantine, *self._threads.values()):
            if pool:
                pool.shutdown(wait=not now, cancel_futures=True)
        if not now:
            self._bench.close()

    def _thread_pool(self, stage: Stage[Any, Any]) -> ThreadPoolExecutor:
        if stage.digest not in self._threads:
            self._threads[stage.digest] = ThreadPoolExecutor(
                self.width(stage), thread_name_prefix=stage.name
            )
        return self._threads[stage.digest]

    def _submit_to_process(
        self, stage: Stage[Any, Any], work: Path, wants: Sequence[Want]
    ) -> Future[Delivery]:
        outer: Future[Delivery] = Future()
        outer.set_running_or_notify_cancel()

        def hand_over(inner: Future[bytes]) -> None:
            error = inner.exception()
            if isinstance(error, BrokenProcessPool):
                self._quarantine.submit(_settle, outer, lambda: _one_by_one(stage, work, wants))
            else:
                _settle(outer, lambda: cloudpickle.loads(inner.result()))

        self._send(cloudpickle.dumps((stage, work, wants))).add_done_callback(hand_over)
        return outer

    def _send(self, payload: bytes) -> Future[bytes]:
        """Submit to the pool; a pool that a dying worker broke is replaced."""
        with self._lock:
            for _ in range(2):
                self._pool = self._pool or _spawned_pool(self._processes)
                try:
                    return self._pool.submit(_perform, payload)
                except BrokenProcessPool:
                    self._pool.shutdown(wait=False)
                    self._pool = None
            raise BrokenProcessPool("worker processes die as they start: is memory left?")


def _one_by_one(stage: Stage[Any, Any], work: Path, wants: Sequence[Want]) -> Delivery:
    """Retry a dead worker's wants, each alone in a process of its own: who kills it is known."""
    started = time.perf_counter()
    landed = []
    for want in wants:
        with _spawned_pool(1) as pool:
            try:
                payload = pool.submit(_perform, cloudpickle.dumps((stage, work, [want]))).result()
                landed.extend(cloudpickle.loads(payload).landed)
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


def _start(driver: int) -> None:
    """A worker leaves Ctrl-C to the driver, and leaves when the driver is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with, args=(driver,), daemon=True).start()


def _leave_with(driver: int) -> None:
    while os.getppid() == driver:
        time.sleep(ORPHAN_CHECK_SECONDS)
    os._exit(1)


def _perform(payload: bytes) -> bytes:
    stage, work, wants = cloudpickle.loads(payload)
    return cloudpickle.dumps(_BENCH.perform(stage, work, wants))  # type: ignore[no-any-return]


_BENCH = Bench()  # what a worker process keeps open between calls


# -- how a worker process is started -----------------------------------------------------------


class _HiddenMainProcess(SpawnProcess):
    """Spawned without importing the user's `__main__`: so recipes need no guard."""

    @staticmethod
    def _Popen(process_obj: Any) -> Any:  # noqa: N802  multiprocessing's own name
        with _hidden_main():
            return SpawnProcess._Popen(process_obj)


class _Context(SpawnContext):
    Process = _HiddenMainProcess


@contextmanager
def _hidden_main() -> Iterator[None]:
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _spawned_pool(processes: int) -> ProcessPoolExecutor:
    """Always spawn, never fork: a forked orphan keeps the ledger's lock and the threads' mess."""
    return ProcessPoolExecutor(
        processes, mp_context=_Context(), initializer=_start, initargs=(os.getpid(),)
    )


def _kill_workers() -> None:
    for process in multiprocessing.active_children():
        with suppress(OSError):
            process.kill()
