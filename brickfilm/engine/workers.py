"""Spawn worker processes that ignore SIGINT, exit with their parent, and need no main guard."""

from __future__ import annotations

import signal
import sys
import types
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

from brickfilm.files import exit_with_parent


class WorkerContext(SpawnContext):
    """Starts worker processes, and knows them: a program may have others."""

    def __init__(self) -> None:
        super().__init__()
        self._started: list[SpawnProcess] = []

    def Process(self, *args: Any, **options: Any) -> SpawnProcess:  # type: ignore[override]  # noqa: N802
        process = _HiddenMainProcess(*args, **options)
        self._started.append(process)
        return process

    def kill(self) -> None:
        """End every process that this context started."""
        for process in self._started:
            if process.is_alive():
                process.kill()


def worker_pool(processes: int, context: WorkerContext | None = None) -> ProcessPoolExecutor:
    """Always spawn, never fork: a forked orphan keeps the ledger's lock and the threads' mess."""
    return ProcessPoolExecutor(
        processes,
        mp_context=context or WorkerContext(),
        initializer=_init_worker,
    )


class _HiddenMainProcess(SpawnProcess):
    """Spawned without importing the user's `__main__`: so scripts need no guard."""

    @staticmethod
    def _Popen(process_obj: Any) -> Any:  # noqa: N802  multiprocessing's own name
        with _hidden_main():
            return SpawnProcess._Popen(process_obj)


@contextmanager
def _hidden_main() -> Iterator[None]:
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _init_worker() -> None:
    """Ignore SIGINT, which is the driver's to handle, and exit when the driver dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    exit_with_parent()
