"""Executors run the calls of stages; each one is a file of its own."""

from brickfilm.engine.executors.base import CallResult, Executor, WorkerState
from brickfilm.engine.executors.local import LocalExecutor

__all__ = ["CallResult", "Executor", "LocalExecutor", "WorkerState"]
