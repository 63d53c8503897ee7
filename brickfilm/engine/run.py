"""PipelineRun: one pass over a source, in one loop in the driver.

Items move through the stages as far as the ledger has answers, and wait in a stage's inbox where
one is missing. Resuming replays stored answers. Only the driver writes the ledger.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from operator import length_hint
from typing import Any

from brickfilm.engine.budget import Budgets
from brickfilm.engine.calls import apply_answers, as_measured, outdated_parts, work_item_of
from brickfilm.engine.capabilities import Batched, DryRun, Trims, has_capability
from brickfilm.engine.commit import AnswerWriter
from brickfilm.engine.dispatch import Dispatcher
from brickfilm.engine.executors import CallResult, Executor
from brickfilm.engine.free_memory import rare_collections
from brickfilm.engine.ledger import (
    CaptionEdit,
    ItemResult,
    Ledger,
    TrimmedClip,
    edit_at,
    read_edits,
    read_trims,
    record_digest,
    result_digest,
)
from brickfilm.engine.pipeline import Pipeline
from brickfilm.engine.progress import Progress
from brickfilm.engine.queue import (
    Failures,
    InFlightCall,
    StageQueue,
    footage_seconds,
    missing_answers,
)
from brickfilm.engine.source_refs import SourceRefs
from brickfilm.engine.spilled_list import SpilledList
from brickfilm.engine.stage import Answer, WorkItem
from brickfilm.engine.tombstones import Tombstones
from brickfilm.errors import ItemError, Rejected, Waiting, WorkdirUnusable
from brickfilm.records import Clip, Image

CHECK_INTERVAL_SECONDS = 0.5
"""Interval at which a wait updates the progress display and checks for a stop."""
ITEMS_PER_LOOKUP = 100
"""Items whose answers are read together: those of more would be in memory at once."""

DRY_RUN = Waiting("", reason="dry run")
IN_BATCH_JOB = Waiting("", reason="batch")
INTERRUPTED = Waiting("", reason="interrupted")
SOURCE_DELETED = Waiting("the next pass fetches it again", reason="video deleted")


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
        failures: Failures | None = None,
    ) -> None:
        self.ledger = ledger
        self.executor = executor
        self.dry_run = dry_run
        self.progress = progress
        self.queues = [
            StageQueue(n, s, executor.concurrency(s)) for n, s in enumerate(pipeline.stages)
        ]
        self.finished: SpilledList[Any] = SpilledList(ledger.home, digest=record_digest)
        self.item_results: SpilledList[ItemResult] = SpilledList(ledger.home, digest=result_digest)
        self.excluded: SpilledList[Clip | Image] = SpilledList(ledger.home, digest=record_digest)
        """Clips and images that were rejected, failed or wait, as the last stage saw them."""
        self.pending_items: dict[int, list[WorkItem]] = {n: [] for n in range(len(self.queues))}
        """Items by stage that a dry run would compute, or that a batch job must answer."""
        self.stopping = False
        self.source_refs = SourceRefs(self.queues, ledger, dry_run=dry_run)
        self.failures = Failures() if failures is None else failures
        self._next_queues: dict[tuple[int, type], StageQueue | None] = {}
        self._budgets = Budgets(pipeline.stages, ledger)
        self._dispatcher = Dispatcher(self.queues, ledger, executor, self._budgets)
        self._writer = AnswerWriter(ledger, self._budgets, self.failures)
        self._tombstones = Tombstones.load(ledger.work)
        self.edits: Mapping[str, CaptionEdit] = read_edits(ledger.home)
        """Decisions of people about clips and images, by id."""
        self.trims: Mapping[str, TrimmedClip] = read_trims(ledger.home)
        """Clips whose ends people moved, by their id before."""
        ledger.register_parts(pipeline.parts())

    def stop(self) -> None:
        """Stop dispatching; calls in flight complete and their answers are saved."""
        self.stopping = True

    def execute(self, source: Iterator[Any]) -> None:
        """Run until nothing is left to do. After a bug, save calls in flight, then raise it."""
        try:
            with rare_collections():
                self._loop(source)
        except Exception:  # KeyboardInterrupt is no Exception: a second Ctrl-C exits immediately
            self._drain()
            raise
        finally:
            with suppress(WorkdirUnusable):  # the same error is already being raised
                self.save_results()

    def save_results(self) -> None:
        """Replace the results and records of the last pass in the ledger."""
        records = (self.excluded.digest or 0) + (self.finished.digest or 0)
        results = self.item_results.digest
        self.ledger.save_results(
            self.item_results, self._records(), results_digest=results, records_digest=records
        )

    def _loop(self, source: Iterator[Any]) -> None:
        more = True
        while True:
            for queue in reversed(self.queues):  # downstream first: no deadlock
                if not self.stopping and (exceeded := self._dispatcher.start(queue)):
                    self._record_waiters(queue, exceeded, self._budgets.exceeded(queue.stage))
            while more and not self.stopping and self._dispatcher.has_room_downstream(-1):
                if more := (item := next(source, None)) is not None:
                    self._push(0, [item])
            unlisted = length_hint(source, -1) if more else 0
            self.queues[0].unlisted = unlisted if unlisted >= 0 else None
            self.source_refs.update()
            if self.progress:
                self.progress.update(self.queues, self.item_results)
            if self._dispatcher:
                self._handle_completed(self._dispatcher.completed(CHECK_INTERVAL_SECONDS))
            elif self.stopping or not (more or any(queue.inbox for queue in self.queues)):
                return self._mark_rest_waiting()

    # -- push: move items forward ------------------------------------------------------------

    def _push(self, position: int, items: Iterable[Any]) -> None:
        """Move items through the stages as far as the ledger has answers, some at a time."""
        items = iter(items)
        while some := list(islice(items, ITEMS_PER_LOOKUP)):
            by_queue: dict[int, list[WorkItem]] = {}
            for item in some:
                if queue := self._next_queue(position, item):
                    work_item = work_item_of(queue.stage, item, queue.parts)
                    by_queue.setdefault(queue.position, []).append(work_item)
            for number, work_items in by_queue.items():
                self._process(self.queues[number], work_items)

    def _next_queue(self, position: int, item: Any) -> StageQueue | None:
        """Return the queue of the item's next stage; None if it is finished, or recorded here."""
        if isinstance(item, ItemError):  # of a file that the source cannot list as a video
            self._record(self.queues[0], item.record, item)
            return None
        if rejection := self._tombstones.rejection_for(item):
            self._record(self.queues[min(position, len(self.queues) - 1)], item, rejection)
            return None
        queue = self._queue_of(position, type(item))
        if self.edits and (
            edit := edit_at(self.edits, item, queue.stage.provides if queue else None)
        ):
            self._apply_edit(queue, item, edit)
            return None
        if queue is None:
            self.finished.append(item)
        return queue

    def _queue_of(self, position: int, kind: type) -> StageQueue | None:
        """Return the queue of the first stage from a position on that takes items of a type."""
        at = position, kind
        if at not in self._next_queues:
            queues = (queue for queue in self.queues[position:] if queue.accepts(kind))
            self._next_queues[at] = next(queues, None)
        return self._next_queues[at]

    def _apply_edit(self, queue: StageQueue | None, item: Clip | Image, edit: CaptionEdit) -> None:
        """Push the item with the caption that a person gave it, or record its rejection."""
        edited = edit.applied_to(item)
        if isinstance(edited, Rejected):
            return self._record(queue or self.queues[-1], item, edited)
        if queue:
            self._record(queue, item, outputs=[edited])
        return self._push(queue.position + 1 if queue else len(self.queues), [edited])

    def _process(
        self, queue: StageQueue, work_items: Sequence[WorkItem], *, is_answered: bool = False
    ) -> None:
        """Apply the stage to items of which the ledger has all answers, and queue the others.

        is_answered: their answers were computed in this run.
        """
        stage = queue.stage
        stored = self._stored_answers(queue, work_items)
        outputs: list[Any] = []
        for work_item in work_items:
            found = ((part, stored[part].get(key)) for part, key in work_item.keys.items())
            answers = {part: answer for part, answer in found if answer is not None}
            missing = frozenset(work_item.keys.keys() - answers.keys())
            if not (missing or is_answered or (self.dry_run and not stage.runs_in_dry_run)):
                missing = outdated_parts(stage, work_item.item, answers, self.ledger.work)
            if not missing:
                outputs += self._apply(queue, work_item.item, answers)
            elif not self._set_aside(queue, work_item := replace(work_item, parts=missing)):
                queue.enqueue(work_item)
        self._push(queue.position + 1, outputs)

    def _stored_answers(
        self, queue: StageQueue, work_items: Sequence[WorkItem]
    ) -> dict[str, dict[str, Answer]]:
        """Return the stored answers of these items by part and key."""
        parts = (part.digest for part in queue.parts)
        return {p: self.ledger.get_many(p, [w.keys[p] for w in work_items]) for p in parts}

    def _set_aside(self, queue: StageQueue, work_item: WorkItem) -> bool:
        """Record an item that this pass cannot compute; return False if it can."""
        stage, item = queue.stage, work_item.item
        failed = [self.failures[k] for k in missing_answers(work_item) if k in self.failures]
        if failed:
            self._record(queue, item, failed[0])
        elif self.dry_run and not stage.runs_in_dry_run:
            self.pending_items[queue.position].append(work_item)
            self._record(queue, item, DRY_RUN)
            if isinstance(stage, DryRun):
                self._push(queue.position + 1, stage.simulate(item))
        elif stage.needs_source_file and self.source_refs.request_refetch(item):
            self._record(queue, item, SOURCE_DELETED)
        elif isinstance(stage, Batched) and stage.uses_batch_jobs:
            self.pending_items[queue.position].append(work_item)
            self._record(queue, item, IN_BATCH_JOB)
        elif isinstance(stage, Batched) and self._is_in_open_job(work_item):
            self._record(queue, item, IN_BATCH_JOB)
        else:
            return False
        return True

    def _is_in_open_job(self, work_item: WorkItem) -> bool:
        """Return True if a job of an earlier run will answer, which is paid for already."""
        return any(self.ledger.in_open_job(*key) for key in missing_answers(work_item))

    def _apply(self, queue: StageQueue, item: Any, answers: Mapping[str, Answer]) -> list[Any]:
        """Apply the stage to stored answers, and return the records that come out."""
        footage_seconds(item)  # computes a clip's times once: `with_fields` copies them
        outputs = apply_answers(queue.stage, item, answers)
        if self.trims and has_capability(queue.stage, Trims):
            outputs = [self._trimmed(queue.stage, item, answers, output) for output in outputs]
        if len(outputs) == 1 and isinstance(outputs[0], ItemError) and outputs[0].record is None:
            self._record(queue, item, outputs[0])
            return []
        self._record(queue, as_measured(item, outputs), outputs=outputs)
        for output in outputs:
            if isinstance(output, ItemError):
                self._record(queue, output.record or item, output)
        return [output for output in outputs if not isinstance(output, ItemError)]

    def _records(self) -> Iterator[Clip | Image]:
        """Yield every clip and image of the pass, as its last stage left it."""
        yield from self.excluded
        yield from (item for item in self.finished if isinstance(item, Clip | Image))

    def _trimmed(self, stage: Any, item: Any, answers: Mapping[str, Answer], output: Any) -> Any:
        """Return a clip with the ends that a person gave it; anything else unchanged."""
        trim = self.trims.get(output.id) if isinstance(output, Clip) else None
        if trim is None:
            return output
        return stage.trimmed(item, answers, output, trim.start_frame, trim.end_frame)

    def _record_waiters(
        self, queue: StageQueue, work_items: Iterable[WorkItem], error: Waiting
    ) -> None:
        """Record that these items, and those that want the same answers, get none in this run."""
        for waiter in queue.pop_waiters(work_items):
            self._record(queue, waiter.item, error)

    # -- completion: store answers -----------------------------------------------------------

    def _handle_completed(self, calls: Mapping[Future[CallResult], InFlightCall]) -> None:
        """Commit all results at once, push their items forward, then raise the first bug."""
        good = [future for future in calls if future.exception() is None]
        with self.ledger.transaction():
            for future in good:
                self._writer.commit(calls[future], future.result())
        for future in good:
            queue = calls[future].queue
            waiters = queue.pop_waiters(calls[future].work_items)
            self._process(queue, waiters, is_answered=True)
        for future in calls.keys() - good:
            future.result()

    # -- end of the pass ---------------------------------------------------------------------

    def _mark_rest_waiting(self) -> None:
        """Record every item that is still in an inbox as waiting for the next run."""
        for queue in self.queues:
            self._record_waiters(queue, queue.inbox, INTERRUPTED)
            queue.inbox.clear()

    def _drain(self) -> None:
        """Save the results of calls in flight, and push nothing."""
        for future, call in self._dispatcher.completed().items():
            if future.exception() is None:
                with suppress(WorkdirUnusable):
                    self._writer.commit(call, future.result())
        self._mark_rest_waiting()

    def _record(
        self,
        queue: StageQueue,
        item: Any,
        error: ItemError | None = None,
        outputs: Sequence[Any] = (),
    ) -> None:
        """Append an item's result at a stage; it is done if there is no error."""
        if error and isinstance(item, Clip | Image):
            self.excluded.append(item)
        result = queue.item_result(item, error)
        self.source_refs.on_result(queue, item, result.status, outputs)
        self.item_results.append(result)
