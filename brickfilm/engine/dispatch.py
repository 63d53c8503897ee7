"""Dispatcher: the calls in flight. It starts those for which there are workers, money and room."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, Future, wait

from brickfilm.engine.budget import Budgets
from brickfilm.engine.executors import CallResult, Executor
from brickfilm.engine.ledger import Ledger
from brickfilm.engine.queue import InFlightCall, StageQueue
from brickfilm.engine.stage import WorkItem


class Dispatcher:
    """Starts calls, and gives them back when they have ended."""

    def __init__(
        self, queues: Sequence[StageQueue], ledger: Ledger, executor: Executor, budgets: Budgets
    ) -> None:
        self._queues = queues
        self._ledger = ledger
        self._executor = executor
        self._budgets = budgets
        self._in_flight: dict[Future[CallResult], InFlightCall] = {}

    def __bool__(self) -> bool:
        """Return True if calls are in flight."""
        return bool(self._in_flight)

    def has_room_downstream(self, position: int) -> bool:
        """Return False if the inbox of a later stage is full."""
        return all(queue.has_room for queue in self._queues[position + 1 :])

    def can_start(self, queue: StageQueue) -> bool:
        """Return True if there is work, a free worker, and room for what comes out."""
        return (
            bool(queue.inbox)
            and queue.calls_in_flight < queue.concurrency
            and self.has_room_downstream(queue.position)
        )

    def start(self, queue: StageQueue) -> list[WorkItem]:
        """Start every call that may start, after committing all their reservations at once.

        Return the work items that the budget does not allow.
        """
        if not self.can_start(queue):
            return []
        calls: list[InFlightCall] = []
        exceeded: list[WorkItem] = []
        with self._ledger.transaction():
            while self.can_start(queue):
                work_items = queue.next_batch()
                if self._budgets.claim(queue.stage, work_items):
                    reservations = [self._budgets.reserve(queue.stage, w) for w in work_items]
                    calls.append(InFlightCall(queue, work_items, reservations))
                    queue.calls_in_flight += 1
                elif self._budgets.may_settle_for_less(queue.stage, self._queues):
                    queue.inbox.extendleft(reversed(work_items))
                    break
                else:
                    exceeded += work_items
        for call in calls:
            future = self._executor.submit(queue.stage, self._ledger.work, call.work_items)
            self._in_flight[future] = call
        return exceeded

    def completed(self, timeout: float | None = None) -> dict[Future[CallResult], InFlightCall]:
        """Wait for a call, at most `timeout` seconds, or else for all; return those that ended."""
        until = ALL_COMPLETED if timeout is None else FIRST_COMPLETED
        done = wait(self._in_flight, timeout, return_when=until).done
        ended = {future: self._in_flight.pop(future) for future in done}
        for call in ended.values():
            call.queue.calls_in_flight -= 1
        return ended
