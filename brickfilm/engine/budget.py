"""Money of a run: reserve the worst case before a request, settle it with the answer."""

from __future__ import annotations

from collections.abc import Sequence

from brickfilm.engine.ledger import Ledger, Reservation
from brickfilm.engine.pipeline import AnyStage
from brickfilm.engine.queue import StageQueue
from brickfilm.engine.stage import Answer, WorkItem


class Budgets:
    """Spending of the stages that have a budget, earlier runs and reservations included."""

    def __init__(self, stages: Sequence[AnyStage], ledger: Ledger) -> None:
        self._ledger = ledger
        names = {n for stage in stages if stage.budget is not None for n in stage.budget_group}
        self._spent = {name: ledger.spent(name) for name in names}

    def allow(self, stage: AnyStage, work_items: Sequence[WorkItem]) -> bool:
        """Return False if these work items could exceed the stage's budget."""
        cost = sum(stage.worst_case_cost(work_item.item) or 0.0 for work_item in work_items)
        if stage.budget is None or not cost:
            return True
        return sum(self._spent[name] for name in stage.budget_group) + cost <= stage.budget

    def reserve(self, queue: StageQueue, work_item: WorkItem) -> Reservation | None:
        """Write the worst case down before the request is sent; None if the stage is free."""
        dollars = queue.stage.worst_case_cost(work_item.item)
        if dollars is None:
            return None
        self._add(queue.stage, dollars)
        return self._ledger.reserve(queue.stage.name, *queue.answer_keys(work_item)[0], dollars)

    def settle(self, stage: AnyStage, reservation: Reservation | None, answer: Answer) -> None:
        """Replace a reservation by the cost that the answer states."""
        if reservation is not None:
            self._add(stage, (answer.get("cost") or 0.0) - reservation.reserved)
            self._ledger.settle(reservation, answer)

    def _add(self, stage: AnyStage, dollars: float) -> None:
        if stage.name in self._spent:
            self._spent[stage.name] += dollars
