"""PipelineRun: one pass over a source, in one loop in the driver.

Items move through the stages as far as the ledger has answers, and wait in a stage's inbox where
one is missing. Resuming replays stored answers. Only the driver writes the ledger.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from typing import Any

from brickfilm.engine.budget import Budgets
from brickfilm.engine.executors import CallResult, Executor
from brickfilm.engine.ledger import ItemResult, Ledger, Reservation
from brickfilm.engine.pipeline import Pipeline
from brickfilm.engine.progress import NoProgress, Progress
from brickfilm.engine.queue import AnswerKey, InFlightCall, StageQueue
from brickfilm.engine.source_refs import SourceOrigin, SourceRefCounter
from brickfilm.engine.stage import Answer, Result, WorkItem
from brickfilm.engine.tombstones import Tombstones
from brickfilm.errors import (
    InvalidResponse,
    ItemError,
    NoResponse,
    Rejected,
    Waiting,
    WorkdirUnusable,
)
from brickfilm.records import Clip, Video

REJECTED_KEY = "__rejected__"
MAX_ATTEMPTS_WITHOUT_RESPONSE = 3
CHECK_INTERVAL_SECONDS = 0.5
"""Interval at which a wait updates the progress display and checks for a stop."""


class PipelineRun:
    """One pass: `finished` holds the records that passed every stage, `item_results` every item."""

    def __init__(
        self,
        pipeline: Pipeline,
        ledger: Ledger,
        executor: Executor,
        *,
        progress: Progress | None = None,
        dry_run: bool = False,
        failures: Mapping[AnswerKey, ItemError] | None = None,
    ) -> None:
        self.ledger = ledger
        self.executor = executor
        self.dry_run = dry_run
        self.progress = progress or NoProgress()
        self.queues = [
            StageQueue(n, s, executor.concurrency(s)) for n, s in enumerate(pipeline.stages)
        ]
        self.finished: list[Any] = []
        self.item_results: list[ItemResult] = []
        self.excluded_clips: dict[str, Clip] = {}
        """Clips that were rejected, failed or wait, by id, as the last stage saw them."""
        self.pending_items: dict[int, list[Any]] = {queue.position: [] for queue in self.queues}
        """Items by stage that a dry run would compute, or that a batch job must answer."""
        self.stopping = False
        self.source_refs = SourceRefCounter(pipeline.stages)
        self.failures: dict[AnswerKey, ItemError] = dict(failures or {})
        """Errors of answers that are not tried again in this build."""
        self._in_flight: dict[Future[CallResult], InFlightCall] = {}
        self._budgets = Budgets(pipeline.stages, ledger)
        self._tombstones = Tombstones.load(ledger.work)
        ledger.register_parts(pipeline.parts())

    def stop(self) -> None:
        """Stop dispatching; calls in flight complete and their answers are saved."""
        self.stopping = True

    def execute(self, source: Iterator[Any]) -> None:
        """Run until nothing is left to do. After a bug, save calls in flight, then raise it."""
        try:
            self._loop(source)
        except Exception:  # KeyboardInterrupt is no Exception: a second Ctrl-C exits immediately
            self._drain()
            raise
        finally:
            with suppress(WorkdirUnusable):  # the same error is already being raised
                self.ledger.save_results(self.item_results)

    def _loop(self, source: Iterator[Any]) -> None:
        more = True
        while True:
            for queue in reversed(self.queues):  # downstream first: no deadlock
                if self._can_dispatch(queue):
                    self._dispatch(queue)
            while more and not self.stopping and self._has_room_downstream(-1):
                item = next(source, None)
                more = item is not None
                if more:
                    self._push(0, item)
            self.progress.update(self.queues, self.item_results)
            if self._in_flight:
                waited = wait(self._in_flight, CHECK_INTERVAL_SECONDS, return_when=FIRST_COMPLETED)
                self._handle_completed(waited.done)
            elif self.stopping or not (more or any(queue.inbox for queue in self.queues)):
                return self._mark_rest_waiting()

    # -- push: move an item forward ----------------------------------------------------------

    def _push(self, position: int, item: Any) -> None:
        """Move an item through the stages as far as the ledger has answers."""
        if rejection := self._tombstones.rejection_for(item):
            last = len(self.queues) - 1
            return self._record(self.queues[min(position, last)], item, "rejected", rejection)
        queue = next((queue for queue in self.queues[position:] if queue.accepts(item)), None)
        if queue is None:
            return self.finished.append(item)
        answer_keys = [(part.digest, part.key(item)) for part in queue.stage.parts()]
        answers = {key: self.ledger.get(*key) for key in answer_keys}
        missing = [key for key, answer in answers.items() if answer is None]
        if not missing:
            self._apply(queue, item, {d: a for (d, _), a in answers.items() if a is not None})
        elif not self._set_aside(queue, item, missing):
            self.source_refs.add_ref(queue.position, item)
            queue.enqueue(item, missing)
        return None

    def _set_aside(self, queue: StageQueue, item: Any, missing: Sequence[AnswerKey]) -> bool:
        """Record an item that this pass cannot compute; return False if it can."""
        failure = next((self.failures[key] for key in missing if key in self.failures), None)
        if failure:
            status = "waiting" if isinstance(failure, Waiting) else "failed"
            self._record(queue, item, status, failure)
        elif self.dry_run and not queue.stage.runs_in_dry_run:
            self.pending_items[queue.position].append(item)
            self._record(queue, item, "waiting", reason="dry run")
            for record in queue.stage.simulate(item):
                self._push(queue.position + 1, record)
        elif queue.stage.needs_source_file and self.source_refs.request_refetch(
            item, self.ledger, dry_run=self.dry_run
        ):
            message = "the next pass fetches it again"
            self._record(queue, item, "waiting", reason="video deleted", message=message)
        elif queue.stage.uses_batch_jobs:
            self.pending_items[queue.position].append(item)
            self._record(queue, item, "waiting", reason="batch")
        else:
            return False
        return True

    def _apply(self, queue: StageQueue, item: Any, answers: dict[str, Answer]) -> None:
        """Apply the stage to stored answers, and push the records that come out."""
        for answer in answers.values():
            if REJECTED_KEY in answer:
                return self._record(queue, item, "rejected", Rejected(**answer[REJECTED_KEY]))
        results = list(queue.stage.apply_parts(item, answers))
        if len(results) == 1 and isinstance(results[0], Rejected) and results[0].record is None:
            return self._record(queue, item, "rejected", results[0])
        self._record(queue, item, "done")
        for result in results:
            if isinstance(result, Rejected):
                self._record(queue, result.record or item, "rejected", result)
                continue
            if isinstance(result, Video):
                self.source_refs.register(result, SourceOrigin(queue.stage, item))
            self._push(queue.position + 1, result)
        return self._release_sources(result for result in results if isinstance(result, Video))

    def _release_sources(self, items: Iterable[Any]) -> None:
        """Let the stages that fetched these items' videos delete those no stage will read again."""
        if not self.dry_run:
            for origin in self.source_refs.unreferenced_origins(items):
                origin.stage.release_source(origin.item, self.ledger.work)

    # -- dispatch: start calls ---------------------------------------------------------------

    def _can_dispatch(self, queue: StageQueue) -> bool:
        return (
            not self.stopping
            and bool(queue.inbox)
            and queue.calls_in_flight < queue.concurrency
            and self._has_room_downstream(queue.position)
        )

    def _has_room_downstream(self, position: int) -> bool:
        return all(queue.has_room for queue in self.queues[position + 1 :])

    def _dispatch(self, queue: StageQueue) -> None:
        """Start every call that may start, after committing all their reservations at once."""
        calls: list[InFlightCall] = []
        with self.ledger.transaction():
            while self._can_dispatch(queue):
                work_items = queue.next_batch()
                if self._budgets.allow(queue.stage, work_items):
                    reservations = [self._budgets.reserve(queue, item) for item in work_items]
                    calls.append(InFlightCall(queue, work_items, reservations))
                    queue.calls_in_flight += 1
                elif self._reservations_may_settle(queue):
                    queue.inbox.extendleft(reversed(work_items))
                    break
                else:
                    self._mark_over_budget(queue, work_items)
        for call in calls:
            future = self.executor.submit(queue.stage, self.ledger.work, call.work_items)
            self._in_flight[future] = call

    def _reservations_may_settle(self, queue: StageQueue) -> bool:
        """Return True if a call in flight may still cost less than was reserved for it."""
        group = queue.stage.budget_group
        return any(other.calls_in_flight for other in self.queues if other.stage.name in group)

    def _mark_over_budget(self, queue: StageQueue, work_items: Sequence[WorkItem]) -> None:
        message = f"max_cost_usd={queue.stage.budget} reached: raise it and run again"
        for work_item in work_items:
            for item in self._pop_waiters(queue, work_item):
                self._record(queue, item, "waiting", reason="budget", message=message)

    # -- completion: store answers -----------------------------------------------------------

    def _handle_completed(self, done: Iterable[Future[CallResult]]) -> None:
        """Commit all results at once, push their items forward, then raise the first bug."""
        calls = {future: self._in_flight.pop(future) for future in done}
        good = [future for future in calls if future.exception() is None]
        if good:
            with self.ledger.transaction():
                for future in good:
                    self._commit(calls[future], future.result())
        for call in calls.values():
            call.queue.calls_in_flight -= 1
        for future in good:
            self._advance(calls[future])
        for future in calls.keys() - good:
            future.result()

    def _advance(self, call: InFlightCall) -> None:
        items = [
            i for work_item in call.work_items for i in self._pop_waiters(call.queue, work_item)
        ]
        for item in items:
            self._push(call.queue.position, item)  # its answers are in the ledger now
        self._release_sources(items)

    def _commit(self, call: InFlightCall, call_result: CallResult) -> None:
        seconds = call_result.seconds / len(call.work_items)
        with self.ledger.transaction():
            for work_item, reservation, result in zip(
                call.work_items, call.reservations, call_result.results, strict=True
            ):
                self._store_result(call.queue, work_item, reservation, result, seconds)

    def _store_result(
        self,
        queue: StageQueue,
        work_item: WorkItem,
        reservation: Reservation | None,
        result: Result,
        seconds: float,
    ) -> None:
        """Store the answers or the rejection of a work item; note its failure."""
        keys = dict(queue.answer_keys(work_item))
        match result:
            case NoResponse():  # stays reserved: it may have been charged
                self._count_no_response(queue, list(keys.items()), result)
                if isinstance(result, InvalidResponse):
                    self._budgets.settle(queue.stage, reservation, result.bill)
                return
            case Rejected():
                rejection = {"message": str(result), "reason": result.reason}
                answers: dict[str, Answer] = {digest: {REJECTED_KEY: rejection} for digest in keys}
            case ItemError():
                self.failures.update(dict.fromkeys(keys.items(), result))
                answers = {}
            case _:
                answers = dict(result)
        for digest, answer in answers.items():
            share = seconds / len(answers)
            self.ledger.put(digest, keys[digest], answer, share, item=work_item.item.id)
        self._budgets.settle(queue.stage, reservation, next(iter(answers.values()), {}))

    def _count_no_response(
        self, queue: StageQueue, answer_keys: Sequence[AnswerKey], error: NoResponse
    ) -> None:
        """Let the request be repeated until MAX_ATTEMPTS_WITHOUT_RESPONSE is reached."""
        for answer_key in answer_keys:
            queue.attempts[answer_key] += 1
            if queue.attempts[answer_key] >= MAX_ATTEMPTS_WITHOUT_RESPONSE:
                self.failures[answer_key] = error

    def _pop_waiters(self, queue: StageQueue, work_item: WorkItem) -> list[Any]:
        """Return the items that waited for a work item, no longer counted as readers."""
        items = queue.pop_waiters(work_item)
        for item in items:
            self.source_refs.drop_ref(queue.position, item)
        return items

    # -- end of the pass ---------------------------------------------------------------------

    def _mark_rest_waiting(self) -> None:
        """Record every item that is still in an inbox as waiting for the next run."""
        for queue in self.queues:
            while queue.inbox:
                for item in self._pop_waiters(queue, queue.inbox.popleft()):
                    self._record(queue, item, "waiting", reason="interrupted")

    def _drain(self) -> None:
        """Save the results of calls in flight, and push nothing."""
        for future in wait(self._in_flight).done:
            if future.exception() is None:
                with suppress(WorkdirUnusable):
                    self._commit(self._in_flight[future], future.result())
        self._in_flight.clear()
        self._mark_rest_waiting()

    def _record(
        self,
        queue: StageQueue,
        item: Any,
        status: str,
        error: ItemError | None = None,
        *,
        reason: str = "",
        message: str = "",
    ) -> None:
        """Append an item's result at a stage."""
        if status != "done" and isinstance(item, Clip):
            self.excluded_clips[item.id] = item
        if status in ("failed", "waiting"):
            self.source_refs.pin(queue.position, item)
        if error:
            reason, message = error.reason, str(error)
        self.item_results.append(queue.item_result(item, status, reason, message))
