"""Where the calls of stages run. A new place is one new file."""

from brickfilm.engine.executors.base import CallResult, Executor, WorkerState
from brickfilm.engine.executors.local import LocalExecutor

__all__ = [
    "CallResult",
    "Executor",
    "LocalExecutor",
    "WorkerState",
]
