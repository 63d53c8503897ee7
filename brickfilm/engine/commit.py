"""AnswerWriter: store what calls return, with its cost, and note what failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from brickfilm.engine.budget import Budgets
from brickfilm.engine.calls import REJECTED_KEY, AnyStage
from brickfilm.engine.capabilities import Updatable, has_capability
from brickfilm.engine.executors import CallResult
from brickfilm.engine.ledger import Ledger, Reservation
from brickfilm.engine.queue import Failures, InFlightCall, missing_answers
from brickfilm.engine.stage import Answer, Result, WorkItem
from brickfilm.errors import InvalidResponse, ItemError, NoResponse, Rejected


@dataclass(frozen=True)
class AnswerWriter:
    """Write the results of calls to the ledger."""

    ledger: Ledger
    budgets: Budgets
    failures: Failures

    def commit(self, call: InFlightCall, call_result: CallResult) -> None:
        """Store every answer, rejection and cost of a call in one transaction."""
        seconds = call_result.seconds / len(call.work_items)
        with self.ledger.transaction():
            for work_item, reservation, result in zip(
                call.work_items, call.reservations, call_result.results, strict=True
            ):
                answers = self._answers(work_item, result)
                for digest, answer in answers.items():
                    key, share = work_item.keys[digest], seconds / len(answers)
                    new = self._updated(call.queue.stage, digest, key, answer)
                    self.ledger.put(digest, key, new, share, item=work_item.item.id)
                self._settle(call, reservation, result, answers)

    def _updated(self, stage: AnyStage, part: str, key: str, answer: Answer) -> Answer:
        """Return the answer to store, which may depend on the one that it replaces."""
        if REJECTED_KEY in answer or not has_capability(stage, Updatable):
            return answer
        old = self.ledger.get(part, key)
        if old is None or REJECTED_KEY in old:
            return answer
        return cast(Updatable, stage).updated(old, answer)

    def _answers(self, work_item: WorkItem, result: Result) -> dict[str, Answer]:
        """Return the answers to store: none of a failure, which is noted."""
        if isinstance(result, Rejected):
            rejection = {"message": str(result), "reason": result.reason}
            return {part: {REJECTED_KEY: rejection} for part in work_item.parts}
        if isinstance(result, ItemError):
            for answer_key in missing_answers(work_item):
                self.failures.count_attempt(answer_key, result)
            return {}
        return dict(result)

    def _settle(
        self,
        call: InFlightCall,
        reservation: Reservation | None,
        result: Result,
        answers: dict[str, Answer],
    ) -> None:
        """Settle the cost; a lost request stays reserved, because it may have been charged."""
        bill = next(iter(answers.values()), {})
        if isinstance(result, InvalidResponse):
            bill = result.bill
        elif isinstance(result, NoResponse):
            return
        self.budgets.settle(call.queue.stage, reservation, bill)
