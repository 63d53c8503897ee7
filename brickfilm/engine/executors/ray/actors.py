"""Run calls in actors of a Ray cluster: one process each, which opens every stage once."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import cloudpickle

from brickfilm.engine.executors.base import CallResult, WorkerState, pickle_call
from brickfilm.engine.stage import Result, WorkItem
from brickfilm.errors import UsageError, WorkerDied

MAX_DEATHS = 2
"""Workers that an item may lose before it fails: a node may go once, and the item be blameless."""
MAX_FAILED_STARTS = 3


class ActorPool:
    """Actors of one kind: a call waits until one is ready, and a dead one is replaced.

    All changes are made in one thread of the pool; Ray's own threads must not be blocked.
    """

    def __init__(self, ray: Any, size: int, **resources: float) -> None:
        self._ray = ray
        self._worker = ray.remote(max_restarts=0, **resources)(RayWorker)
        self._size = size
        self._actors: set[Any] = set()
        self._idle: deque[Any] = deque()
        self._waiting: deque[Call] = deque()
        self._failed_starts = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ray-actors")

    def submit(self, call: Call) -> Future[CallResult]:
        """Start a call; its future raises every error that is not an ItemError."""
        call.future.set_running_or_notify_cancel()
        self._do(self._enqueue, call)
        return call.future

    def close(self, *, now: bool = False) -> None:
        """Kill every actor; what it was computing is lost."""
        self._thread.shutdown(wait=not now, cancel_futures=True)
        for actor in list(self._actors):
            self._ray.kill(actor)

    def _do(self, step: Callable[..., None], *arguments: Any) -> None:
        with suppress(RuntimeError):  # the pool is closed
            self._thread.submit(step, *arguments)

    def _enqueue(self, call: Call) -> None:
        self._waiting.append(call)
        if len(self._actors) < self._size and not self._idle:
            self._start_actor()
        self._send_waiting()

    def _start_actor(self) -> None:
        actor = self._worker.remote()
        self._actors.add(actor)
        ready = actor.is_ready.remote().future()
        ready.add_done_callback(lambda done: self._do(self._on_ready, actor, done))

    def _on_ready(self, actor: Any, done: Future[bool]) -> None:
        if error := done.exception():
            self._bury(actor)
            self._failed_starts += 1
            if self._failed_starts >= MAX_FAILED_STARTS and not self._idle:
                while self._waiting:
                    self._waiting.popleft().future.set_exception(_start_error(error))
            elif self._waiting:
                self._start_actor()
            return
        self._failed_starts = 0
        self._idle.append(actor)
        self._send_waiting()

    def _send_waiting(self) -> None:
        while self._idle and self._waiting:
            call, actor = self._waiting.popleft(), self._idle.popleft()
            answer = actor.run_batch.remote(call.payload()).future()
            answer.add_done_callback(
                lambda done, call=call, actor=actor: self._do(self._on_done, call, actor, done)
            )

    def _on_done(self, call: Call, actor: Any, done: Future[bytes]) -> None:
        try:
            self._take_answer(call, actor, done)
        except Exception as error:  # noqa: BLE001  raised again where the future is read
            call.future.set_exception(error)

    def _take_answer(self, call: Call, actor: Any, done: Future[bytes]) -> None:
        error = done.exception()
        if error is None:
            self._idle.append(actor)
            call.add(cloudpickle.loads(done.result()))
        elif isinstance(error, self._ray.exceptions.RayTaskError):
            self._idle.append(actor)
            call.future.set_exception(error.cause or error)
        else:  # the actor, its node or the way to it is gone
            self._bury(actor)
            call.lose_worker()
        if call.left and not call.future.done():
            self._enqueue(call)
        elif not call.future.done():
            call.finish()
        if self._waiting and not self._idle and len(self._actors) < self._size:
            self._start_actor()
        self._send_waiting()

    def _bury(self, actor: Any) -> None:
        """Give a dead actor up; one that was only cut off must not go on."""
        self._actors.discard(actor)
        self._ray.kill(actor)


def _start_error(error: BaseException) -> UsageError:
    return UsageError(
        f"no worker starts on the Ray cluster ({' '.join(str(error).split())[:500]}): every node "
        "needs the same brickfilm, Python and Ray as the driver"
    )


class Call:
    """A call of a stage, which goes on item by item after its worker has died."""

    def __init__(self, pickled_stage: bytes, work: Path, work_items: Sequence[WorkItem]) -> None:
        self.future: Future[CallResult] = Future()
        self.left = deque([tuple(work_items)])
        self._stage, self._work = pickled_stage, work
        self._results: list[Result] = []
        self._deaths = 0
        self._started = time.perf_counter()

    def payload(self) -> bytes:
        """Pickle the next part of the call for a worker."""
        return pickle_call(self._stage, self._work, self.left[0])

    def add(self, call_result: CallResult) -> None:
        """Take the results of the next part."""
        self.left.popleft()
        self._results += call_result.results
        self._deaths = 0

    def lose_worker(self) -> None:
        """Divide the next part, to find the item at fault; one that kills two workers fails."""
        part = self.left.popleft()
        if len(part) > 1:
            self.left.extendleft((item,) for item in reversed(part))
            return
        self._deaths += 1
        if self._deaths < MAX_DEATHS:
            self.left.appendleft(part)
            return
        name = cloudpickle.loads(self._stage).name
        self._results.append(WorkerDied(f"{part[0].item.id} kills the process of {name}"))
        self._deaths = 0

    def finish(self) -> None:
        """Set the result of the future."""
        self.future.set_result(CallResult(self._results, time.perf_counter() - self._started))


class RayWorker:
    """An actor: one process, which opens each stage at the first call."""

    def __init__(self) -> None:
        self._state = WorkerState()

    def is_ready(self) -> bool:
        return True

    def run_batch(self, payload: bytes) -> bytes:
        """Run a call; errors of items are results."""
        return self._state.run_pickled(payload)
