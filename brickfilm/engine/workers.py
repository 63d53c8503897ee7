"""Spawn worker processes that ignore Ctrl-C, exit with their parent, and need no main guard."""

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
from brickfilm.schema.public_text import show_control_characters_of_logs


class WorkerContext(SpawnContext):
    """Spawn worker processes and remember them: a program may have others of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._started: list[SpawnProcess] = []

    def Process(self, *args: Any, **options: Any) -> SpawnProcess:  # type: ignore[override]  # noqa: N802
        process = _HiddenMainProcess(*args, **options)
        self._started.append(process)
        return process

    def kill(self) -> None:
        """Kill every process that this context started."""
        for process in self._started:
            if process.is_alive():
                process.kill()


def worker_pool(processes: int, context: WorkerContext | None = None) -> ProcessPoolExecutor:
    """Return a pool of spawned processes; a forked orphan would keep the ledger's lock."""
    return ProcessPoolExecutor(
        processes, mp_context=context or WorkerContext(), initializer=_init_worker
    )


class _HiddenMainProcess(SpawnProcess):
    """A process spawned without importing the user's `__main__`, so that scripts need no guard."""

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
    """Ignore what a terminal sends to its whole group, and exit when the driver dies."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # SIGTERM must end a worker of a broken pool
    show_control_characters_of_logs()
    exit_with_parent()
