"""Where the calls of stages run. A new place is one new file."""

from brickfilm.executors.base import Bench, Delivery, Executor
from brickfilm.executors.local import LocalExecutor

__all__ = ["Bench", "Delivery", "Executor", "LocalExecutor"]
