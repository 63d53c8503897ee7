"""A build on a Ray cluster."""

from brickfilm.engine.executors.ray.executor import RayExecutor

__all__ = ["RayExecutor"]
