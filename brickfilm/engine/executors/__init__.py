"""Executors run the calls of stages; each one is a file of its own."""

from brickfilm.engine.executors.base import CallResult, Executor, WorkerState
from brickfilm.engine.executors.local import LocalExecutor
from brickfilm.engine.executors.ray import RayExecutor

__all__ = ["CallResult", "Executor", "LocalExecutor", "RayExecutor", "WorkerState"]
