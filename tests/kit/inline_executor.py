"""Run calls in this process, one after the other, so that a test sees what they do."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from brickfilm.engine.executors import CallResult, WorkerState
from brickfilm.engine.stage import Stage, WorkItem


class InlineExecutor:
    """An executor without threads and processes of its own."""

    def __init__(self) -> None:
        self._state = WorkerState()

    def concurrency(self, stage: Stage[Any, Any]) -> int:
        return 1

    def submit(
        self, stage: Stage[Any, Any], work: Path, work_items: Sequence[WorkItem]
    ) -> Future[CallResult]:
        future: Future[CallResult] = Future()
        try:
            future.set_result(self._state.run_batch(id(stage), stage, work, work_items))
        except Exception as error:  # noqa: BLE001  raised again where the future is read
            future.set_exception(error)
        return future

    def close(self, *, now: bool = False) -> None:
        self._state.close()
