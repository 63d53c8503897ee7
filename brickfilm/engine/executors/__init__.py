"""Where the calls of stages run. A new place is one new file."""

from brickfilm.engine.executors.base import Bench, Delivery, Executor
from brickfilm.engine.executors.local import LocalExecutor

__all__ = ["Bench", "Delivery", "Executor", "LocalExecutor"]
