"""Run calls on a Ray cluster: an actor for each worker of a stage, which opens it once.

Only the driver writes the ledger, and stages that cost money run in the driver's own threads: a
worker or a node that dies loses nothing but work in progress, which is done again elsewhere.
Artefacts travel by the work folder, which every node must share; the object store carries records.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from brickfilm.engine.capabilities import Paid, SourceOwner, has_capability
from brickfilm.engine.executors.base import CallResult, PickledStages, StageThreads
from brickfilm.engine.executors.ray.actors import ActorPool, Call
from brickfilm.engine.executors.ray.cluster import check_shared_folder, connect
from brickfilm.engine.stage import Stage, WorkItem
from brickfilm.errors import UsageError

CALLS_PER_WORKER = 2
"""Calls in a worker and ready for it: without a second one, eight nodes waited for a quarter of the
time on a host with other work."""


class RayExecutor:
    """Run calls that compute on a Ray cluster, and calls that wait, or cost money, in the driver.

    address: as of `ray.init`: HOST:PORT, "auto" for the cluster of this machine, "local" for a new
    one. processes: number of workers, by default the CPUs of the cluster. init: more arguments of
    `ray.init`. Raise UsageError if the extra `ray` or the cluster is missing.
    """

    def __init__(self, address: str = "auto", *, processes: int | None = None, **init: Any) -> None:
        self._ray = connect(address, init)
        cpus = int(self._ray.cluster_resources().get("CPU", 0))
        if not cpus:
            raise UsageError(f"the Ray cluster {address!r} has no CPU: add a node with some")
        self._processes = processes or cpus
        self._pools: dict[int, ActorPool] = {}
        self._stages = PickledStages()
        self._threads = StageThreads()
        self._checked: set[Path] = set()

    def concurrency(self, stage: Stage[Any, Any]) -> int:
        """Return the number of calls of this stage that may be under way."""
        return call_limit(stage, self._processes)

    def submit(
        self, stage: Stage[Any, Any], work: Path, work_items: Sequence[WorkItem]
    ) -> Future[CallResult]:
        """Start a call in a thread of the driver, or in an actor of the cluster."""
        if runs_in_driver(stage):
            return self._threads.submit(stage, self.concurrency(stage), work, work_items)
        if work not in self._checked:
            check_shared_folder(self._ray, work)
            self._checked.add(work)
        call = Call(self._stages.pickle(stage), work.absolute(), work_items)
        return self._actor_pool(stage).submit(call)

    def close(self, *, now: bool = False) -> None:
        """Stop every worker, and leave the cluster."""
        for pool in self._pools.values():
            pool.close(now=now)
        self._threads.close(now=now)
        self._ray.shutdown()

    def _actor_pool(self, stage: Stage[Any, Any]) -> ActorPool:
        """Return the actors of the stage: of its own with a GPU, else those of all stages."""
        gpus = stage.resources.gpus
        key = id(stage) if gpus else 0
        if key not in self._pools:
            limit = stage.resources.concurrency if gpus else 0
            size = min(limit, self._processes) if limit else self._processes
            self._pools[key] = ActorPool(self._ray, size, num_cpus=1, num_gpus=gpus)
        return self._pools[key]


def call_limit(stage: Stage[Any, Any], workers: int) -> int:
    """Return the number of calls of a stage that may be under way with so many workers.

    Each worker of the cluster has a second one ready, so that it never waits for the driver's loop,
    unless the stage itself allows fewer calls than there are workers.
    """
    limit = stage.resources.concurrency
    if runs_in_driver(stage):
        return limit or workers
    return limit if 0 < limit < workers else CALLS_PER_WORKER * workers


def runs_in_driver(stage: Stage[Any, Any]) -> bool:
    """Return True for stages that wait for a network, may spend money, or own the downloads."""
    if stage.resources.gpus:
        return False
    waits = stage.resources.pool == "thread"
    return waits or has_capability(stage, Paid) or has_capability(stage, SourceOwner)
