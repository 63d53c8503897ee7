"""One pass over a source: the loop that keeps every stage busy and forgets nothing.

Resuming is replaying: items run through the stages as far as the ledger's answers reach, and wait
in a queue's inbox where one is missing. The driver alone touches the ledger.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from typing import Any, Protocol

from brickfilm.engine.executors import CallResult, Executor
from brickfilm.engine.ledger import ItemResult, Ledger, Reservation
from brickfilm.engine.pipeline import AnyStage, Pipeline
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
"""How often a wait looks at progress, and at whether it was told to stop."""


class Progress(Protocol):
    """Somebody who watches a run."""

    def update(self, queues: Sequence[StageQueue], item_results: Sequence[ItemResult]) -> None:
        """Called after every change, often: look, and be quick."""


class NoProgress:
    """Nobody watches."""

    def update(self, queues: Sequence[StageQueue], item_results: Sequence[ItemResult]) -> None:
        """Nothing to show."""


class PipelineRun:
    """One pass. `finished` are the records that came through; `item_results` says all of the rest."""

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
        """Clips that did not come through, by id, as far as they came."""
        self.pending_items: dict[int, list[Any]] = {queue.position: [] for queue in self.queues}
        """What each stage would be asked, in a rehearsal or by a job."""
        self.stopping = False
        self.source_refs = SourceRefCounter(pipeline.stages)
        self.failures: dict[AnswerKey, ItemError] = dict(failures or {})
        """Questions not to be asked again in this build, and why."""
        self._in_flight: dict[Future[CallResult], InFlightCall] = {}
        budget_groups = {n for s in pipeline.stages if s.budget is not None for n in s.budget_group}
        self._spent = {name: ledger.spent(name) for name in budget_groups}
        self._tombstones = Tombstones.load(ledger.work)
        ledger.register_parts(pipeline.parts())

    def stop(self) -> None:
        """Dispatch nothing more; what flies lands and is kept."""
        self.stopping = True

    def execute(self, source: Iterator[Any]) -> None:
        """Run until nothing is left to do. A bug drains what flies before it is raised."""
        try:
            self._loop(source)
        except Exception:  # a second Ctrl-C is none: it leaves at once
            self._drain()
            raise
        finally:
            with suppress(WorkdirUnusable):  # already on its way up
                self.ledger.save_results(self.item_results)

    def _loop(self, source: Iterator[Any]) -> None:
        more = True
        while True:
            for queue in reversed(self.queues):  # downstream first: nothing deadlocks
                if self._can_dispatch(queue):
                    self._dispatch(queue)
            while more and not self.stopping and self._has_room_downstream(-1):
                item = next(source, None)
                more = item is not None
                if more:
                    self._push(0, item)
            self.progress.update(self.queues, self.item_results)
            if self._in_flight:
                flown = wait(self._in_flight, CHECK_INTERVAL_SECONDS, return_when=FIRST_COMPLETED)
                self._handle_completed(flown.done)
            elif self.stopping or not (more or any(queue.inbox for queue in self.queues)):
                return self._mark_rest_waiting()

    # -- forward -----------------------------------------------------------------------------

    def _push(self, position: int, item: Any) -> None:
        """Carry an item as far as the ledger's answers reach."""
        if gone := self._tombstones.rejection_for(item):
            queue = self.queues[min(position, len(self.queues) - 1)]
            self._record(queue, item, "rejected", gone)
            return
        while position < len(self.queues) and not _accepts(self.queues[position].stage, item):
            position += 1
        if position == len(self.queues):
            self.finished.append(item)
            return
        queue = self.queues[position]
        answer_keys = [(part.digest, part.key(item)) for part in queue.stage.parts()]
        answers = {answer_key: self.ledger.get(*answer_key) for answer_key in answer_keys}
        missing = [answer_key for answer_key, answer in answers.items() if answer is None]
        if not missing:
            self._resolve(queue, item, {d: a for (d, _), a in answers.items() if a is not None})
        elif failures := next(
            (self.failures[answer_key] for answer_key in missing if answer_key in self.failures),
            None,
        ):
            self._record(
                queue, item, "waiting" if isinstance(failures, Waiting) else "failed", failures
            )
        elif self.dry_run and not queue.stage.runs_in_dry_run:
            self.pending_items[position].append(item)
            self._record(queue, item, "waiting", reason="dry run")
            for out in queue.stage.simulate(item):
                self._push(position + 1, out)
        elif queue.stage.needs_source_file and self._request_refetch(item):
            self._record(queue, item, "waiting", reason="film deleted", message="fetched again")
        elif queue.stage.uses_batch_jobs:
            self.pending_items[position].append(item)
            self._record(queue, item, "waiting", reason="batch")
        elif twin := next(
            (answer_key for answer_key in missing if answer_key in queue.in_progress), None
        ):
            self.source_refs.add_ref(position, item)
            queue.in_progress[twin].append(item)  # the same question is asked once
        else:
            self.source_refs.add_ref(position, item)
            queue.in_progress.update({answer_key: [] for answer_key in missing})
            queue.inbox.append(WorkItem(item, frozenset(digest for digest, _ in missing)))

    def _resolve(self, queue: StageQueue, item: Any, answers: dict[str, Answer]) -> None:
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
            else:
                if isinstance(result, Video):
                    self.source_refs.register(result, SourceOrigin(queue.stage, item))
                self._push(queue.position + 1, result)
        self._release_sources(result for result in results if isinstance(result, Video))
        return None

    def _request_refetch(self, item: Any) -> bool:
        return self.source_refs.request_refetch(item, self.ledger, dry_run=self.dry_run)

    def _release_sources(self, items: Iterable[Any]) -> None:
        """Tell those that brought these items' films which of them nobody needs any more."""
        if not self.dry_run:
            for origin in self.source_refs.unreferenced_origins(items):
                origin.stage.release_source(origin.item, self.ledger.work)

    # -- dispatch ----------------------------------------------------------------------------

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
        """Start every call that may start; all their intents are committed first, in one go."""
        calls: list[InFlightCall] = []
        with self.ledger.transaction():
            while self._can_dispatch(queue):
                work_items = queue.next_batch()
                if self._within_budget(queue, work_items):
                    reservations = [self._reserve(queue, work_item) for work_item in work_items]
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
        """Whether a landing can still free some of what was set aside."""
        return any(
            other.calls_in_flight
            for other in self.queues
            if other.stage.name in queue.stage.budget_group
        )

    def _within_budget(self, queue: StageQueue, work_items: Sequence[WorkItem]) -> bool:
        asked = sum(queue.stage.worst_case_cost(work_item.item) or 0.0 for work_item in work_items)
        if queue.stage.budget is None or not asked:
            return True
        return (
            sum(self._spent[name] for name in queue.stage.budget_group) + asked
            <= queue.stage.budget
        )

    def _reserve(self, queue: StageQueue, work_item: WorkItem) -> Reservation | None:
        dollars = queue.stage.worst_case_cost(work_item.item)
        if dollars is None:
            return None
        self._add_spending(queue, dollars)
        return self.ledger.reserve(queue.stage.name, *queue.answer_keys(work_item)[0], dollars)

    def _add_spending(self, queue: StageQueue, dollars: float) -> None:
        if queue.stage.name in self._spent:
            self._spent[queue.stage.name] += dollars

    def _mark_over_budget(self, queue: StageQueue, work_items: Sequence[WorkItem]) -> None:
        reason = f"max_cost_usd={queue.stage.budget} reached: raise it and run again"
        for work_item in work_items:
            for item in self._pop_waiters(queue, work_item):
                self._record(queue, item, "waiting", reason="budget", message=reason)

    # -- landing -----------------------------------------------------------------------------

    def _handle_completed(self, done: Iterable[Future[CallResult]]) -> None:
        """Commit what arrived, in one go, before any of it moves on; then raise what went wrong."""
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
        landed = [
            item
            for work_item in call.work_items
            for item in self._pop_waiters(call.queue, work_item)
        ]
        for item in landed:
            self._push(call.queue.position, item)  # finds its answers now
        self._release_sources(landed)

    def _commit(self, call: InFlightCall, call_result: CallResult) -> None:
        seconds = call_result.seconds / len(call.work_items)
        with self.ledger.transaction():
            for work_item, reservation, landed in zip(
                call.work_items, call.reservations, call_result.results, strict=True
            ):
                self._store_result(call.queue, work_item, reservation, landed, seconds)

    def _store_result(
        self,
        queue: StageQueue,
        work_item: WorkItem,
        reservation: Reservation | None,
        landed: Result,
        seconds: float,
    ) -> None:
        """Write down what a want brought: answers, a rejection, or nothing but a failure."""
        answer_keys = dict(queue.answer_keys(work_item))
        match landed:
            case NoResponse():
                self._count_no_response(queue, list(answer_keys.items()), landed)
                if isinstance(landed, InvalidResponse):
                    self._settle_reservation(queue, reservation, landed.bill)
                return
            case Rejected():
                told = {"message": str(landed), "reason": landed.reason}
                answers: dict[str, Answer] = {
                    digest: {REJECTED_KEY: told} for digest in answer_keys
                }
            case ItemError():
                self.failures.update(dict.fromkeys(answer_keys.items(), landed))
                answers = {}
            case _:
                answers = dict(landed)
        for digest, answer in answers.items():
            share = seconds / len(answers)
            self.ledger.put(digest, answer_keys[digest], answer, share, item=work_item.item.id)
        self._settle_reservation(queue, reservation, next(iter(answers.values()), {}))

    def _settle_reservation(
        self, queue: StageQueue, reservation: Reservation | None, bill: Answer
    ) -> None:
        """Replace what was set aside by what it came to."""
        if reservation is not None:
            self._add_spending(queue, (bill.get("cost") or 0.0) - reservation.reserved)
            self.ledger.settle(reservation, bill)

    def _count_no_response(
        self, queue: StageQueue, answer_keys: Sequence[AnswerKey], error: NoResponse
    ) -> None:
        """A request without an answer stays reserved; it is asked again a few times."""
        for answer_key in answer_keys:
            queue.attempts[answer_key] += 1
            if queue.attempts[answer_key] >= MAX_ATTEMPTS_WITHOUT_RESPONSE:
                self.failures[answer_key] = error

    def _pop_waiters(self, queue: StageQueue, work_item: WorkItem) -> list[Any]:
        """The want's item and those that waited for the same answer."""
        followers = [
            item
            for answer_key in queue.answer_keys(work_item)
            for item in queue.in_progress.pop(answer_key, [])
        ]
        for item in (work_item.item, *followers):
            self.source_refs.drop_ref(queue.position, item)
        return [work_item.item, *followers]

    # -- the end -----------------------------------------------------------------------------

    def _mark_rest_waiting(self) -> None:
        """Say of everything still in an inbox that the next run goes on with it."""
        for queue in self.queues:
            while queue.inbox:
                for item in self._pop_waiters(queue, queue.inbox.popleft()):
                    self._record(queue, item, "waiting", reason="interrupted")

    def _drain(self) -> None:
        """After a bug or a refusal: keep what flies, follow nothing."""
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
        if status != "done" and isinstance(item, Clip):
            self.excluded_clips[item.id] = item
        if status in ("failed", "waiting"):
            self.source_refs.pin(queue.position, item)
        self.item_results.append(
            ItemResult(
                position=queue.position,
                stage=queue.stage.name,
                kind=type(item).__name__.lower(),
                item=item.id,
                source_id=_source_id_of(item),
                status=status,
                reason=error.reason if error else reason,
                message=str(error) if error else message,
                seconds=_seconds_of(item),
            )
        )


def _accepts(stage: AnyStage, item: Any) -> bool:
    return not stage.input_types or isinstance(item, stage.input_types)


def _source_id_of(item: Any) -> str:
    film = item if hasattr(item, "source_id") else item.video
    return str(film.source_id)


def _seconds_of(item: Any) -> float:
    match item:
        case Video():
            return item.duration
        case Clip():
            return item.end - item.start
    return 0.0
