"""Money of a run: reserve the worst case before a request, settle it with the answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from brickfilm.engine.calls import AnyStage
from brickfilm.engine.capabilities import Paid
from brickfilm.engine.ledger import BatchJob, Ledger, Reservation
from brickfilm.engine.queue import StageQueue, missing_answers
from brickfilm.engine.stage import Answer, WorkItem
from brickfilm.errors import Waiting
from brickfilm.schema.plural import pluralize


class Budgets:
    """Spending of the stages that have a budget, earlier runs and reservations included."""

    def __init__(self, stages: Iterable[AnyStage], ledger: Ledger) -> None:
        self._ledger = ledger
        self._limited = {s.name: s for s in stages if isinstance(s, Paid) and s.budget is not None}
        names = {name for stage in self._limited.values() for name in stage.budget_group}
        self._spent = {name: ledger.spent(name) for name in names}
        self._unknown = ledger.unknown_cost()  # of earlier runs

    def claim(self, stage: AnyStage, work_items: Sequence[WorkItem]) -> bool:
        """Count the worst case of a call as spent; return False if it could exceed the budget."""
        cost = sum(work_item.cost or 0.0 for work_item in work_items)
        if cost and (limited := self._limited.get(stage.name)):
            spent = sum(self._spent[name] for name in limited.budget_group)
            if spent + cost > (limited.budget or 0.0):
                return False
        self._add(stage, cost)
        return True

    def unclaim(self, stage: AnyStage, work_item: WorkItem) -> None:
        """Give back the cost of a work item that is not sent."""
        self._add(stage, -(work_item.cost or 0.0))

    def exceeded(self, stage: AnyStage) -> Waiting:
        """Return the error of an item whose cost could not be claimed."""
        message = f"max_cost_usd={self._limited[stage.name].budget} reached"
        count, dollars = self._unknown
        requests = pluralize(count, "request")
        unknown = f", with ${dollars:.2f} of {requests} without a response" if count else ""
        remedy = ": raise it and run again" + (", or see `brickfilm status`" if count else "")
        return Waiting(f"{message}{unknown}{remedy}", reason="budget")

    def may_settle_for_less(self, stage: AnyStage, queues: Iterable[StageQueue]) -> bool:
        """Return True if calls in flight may cost less than was claimed from the same budget."""
        group = self._limited[stage.name].budget_group
        return any(queue.calls_in_flight for queue in queues if queue.stage.name in group)

    def reserve(
        self, stage: AnyStage, work_item: WorkItem, job: BatchJob | None = None
    ) -> Reservation | None:
        """Store a claimed worst case before the request is sent; None if it is free."""
        if work_item.cost is None:
            return None
        answer_key = missing_answers(work_item)[0]
        return self._ledger.reserve(
            stage.name, *answer_key, work_item.cost, job=job.key if job else None
        )

    def settle(self, stage: AnyStage, reservation: Reservation | None, answer: Answer) -> None:
        """Replace a reservation by the cost that the answer states."""
        if reservation is not None:
            self._add(stage, reservation.settled(answer) - reservation.reserved)
            self._ledger.settle(reservation, answer)

    def _add(self, stage: AnyStage, dollars: float) -> None:
        if stage.name in self._spent:
            self._spent[stage.name] += dollars
