"""BatchJobManager: requests sent as batch jobs, answered within a day at a lower price.

A job's random key and its items are committed before it is submitted. After a kill the service is
asked for the job of that key, so that nothing is submitted twice or lost.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import Any, Self

from brickfilm.engine.ledger import BatchJob, Ledger
from brickfilm.engine.pipeline import AnyStage, Pipeline
from brickfilm.engine.queue import AnswerKey
from brickfilm.engine.run import CHECK_INTERVAL_SECONDS, MAX_ATTEMPTS_WITHOUT_RESPONSE, PipelineRun
from brickfilm.engine.stage import Answer, BatchRequestFile, BatchService
from brickfilm.errors import InvalidResponse, ItemError, NoResponse, Waiting

MISSING_FROM_BATCH = InvalidResponse(
    "the batch job ended without this item", reason="not answered", bill={}
)


class BatchJobManager:
    """Submit, poll and collect the batch jobs of a build, between its passes."""

    def __init__(self, pipeline: Pipeline, ledger: Ledger) -> None:
        self.ledger = ledger
        self.failures: dict[AnswerKey, ItemError] = {}
        """Errors of answers that no further job will bring in this build."""
        self._stages = {n: s for n, s in enumerate(pipeline.stages) if s.uses_batch_jobs}
        self._services: dict[int, BatchService] = {}
        self._attempts: Counter[AnswerKey] = Counter()
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        for position, stage in self._stages.items():
            connection: AbstractContextManager[BatchService] = stage.open_batch_service(
                self.ledger.work
            )
            self._services[position] = self._exits.enter_context(connection)
        for job, service in self._open_batch_jobs():
            self._find_service_id(job, service)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._exits.__exit__(kind, error, trace)

    def advance(self, run: PipelineRun, *, wait: bool, log: Callable[[str], None]) -> bool:
        """Submit the pending items of a pass and collect ended jobs; True if a pass should follow.

        wait: poll until a job has ended or the run is stopped.
        """
        self.failures.update(run.failures)
        known = len(self.failures)
        for position, stage in self._stages.items():
            self._submit(position, stage, run.pending_items[position])
        while (
            not (collected := self._collect(log))
            and wait
            and self._open_batch_jobs()
            and not run.stopping
        ):
            self._sleep_until_poll(run)
        return collected or len(self.failures) > known

    def _sleep_until_poll(self, run: PipelineRun) -> None:
        """Sleep in short intervals, so that Ctrl-C is handled at once."""
        until = time.monotonic() + self._poll_seconds
        while not run.stopping and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, CHECK_INTERVAL_SECONDS))

    def cancel(self, log: Callable[[str], None]) -> None:
        """Cancel every open job, and collect what was answered until then."""
        for job, service in self._open_batch_jobs():
            if job.id is not None:
                service.cancel(job.id)
        while self._open_batch_jobs():
            if not self._collect(log):
                time.sleep(self._poll_seconds)

    @property
    def _poll_seconds(self) -> float:
        return min(stage.poll_seconds for stage in self._stages.values())

    def _open_batch_jobs(self) -> list[tuple[BatchJob, BatchService]]:
        by_part = {stage.digest: self._services[n] for n, stage in self._stages.items()}
        return [(j, by_part[j.part]) for j in self.ledger.open_jobs() if j.part in by_part]

    # -- submit ------------------------------------------------------------------------------

    def _submit(self, position: int, stage: AnyStage, items: list[Any]) -> None:
        service = self._services[position]

        def on_error(key: str, error: ItemError) -> None:
            self.failures[stage.digest, key] = error

        affordable = self._within_budget(stage, items)
        for request_file in service.write_request_files(affordable, on_error):
            job = self._record_job(stage, request_file)
            try:
                self.ledger.mark_submitted(job, service.submit(job.key, request_file))
            except ItemError:  # the job may have arrived all the same
                self._find_service_id(job, service)
            finally:
                request_file.file.unlink(missing_ok=True)

    def _within_budget(self, stage: AnyStage, items: list[Any]) -> dict[str, Any]:
        """Return the items to submit by key: each once, none in an open job, within the budget."""
        spent = sum(self.ledger.spent(name) for name in stage.budget_group)
        affordable: dict[str, Any] = {}
        for item in items:
            key = stage.key(item)
            if key in affordable or self.ledger.in_open_job(stage.digest, key):
                continue
            cost = stage.worst_case_cost(item) or 0.0
            if stage.budget is not None and spent + cost > stage.budget:
                message = f"max_cost_usd={stage.budget} reached: raise it and run again"
                self.failures[stage.digest, key] = Waiting(message, reason="budget")
            else:
                spent += cost
                affordable[key] = item
        return affordable

    def _record_job(self, stage: AnyStage, request_file: BatchRequestFile) -> BatchJob:
        """Commit the job's key, its items and their worst-case cost, before it is submitted."""
        job = BatchJob(key=uuid.uuid4().hex, part=stage.digest)
        with self.ledger.transaction():
            self.ledger.open_job(job, {key: item.id for key, item in request_file.items.items()})
            for key, item in request_file.items.items():
                reserved = stage.worst_case_cost(item)
                if reserved is not None:
                    self.ledger.reserve(stage.name, stage.digest, key, reserved, job=job.key)
        return job

    def _find_service_id(self, job: BatchJob, service: BatchService) -> None:
        """Look a job without an id up by its key; close it if the service never received it."""
        if job.id is not None:
            return
        try:
            service_id = service.find_job(job.key)
        except NoResponse:
            return  # still unknown: the next run asks again
        if service_id is not None:
            self.ledger.mark_submitted(job, service_id)
        else:
            errors = dict.fromkeys(self.ledger.job_items(job), MISSING_FROM_BATCH)
            self._close_job(job, errors, "never sent")

    # -- collect -----------------------------------------------------------------------------

    def _collect(self, log: Callable[[str], None]) -> bool:
        """Store the answers of every job that has ended; return True if one has."""
        ended = False
        for job, service in self._open_batch_jobs():
            if job.id is None:
                self._find_service_id(job, service)
                continue
            answers = _collect_job(service, job.id, log)
            if isinstance(answers, ItemError):
                answers = dict.fromkeys(self.ledger.job_items(job), answers)
            if answers is not None:
                self._close_job(job, answers, "collected")
                ended = True
        return ended

    def _close_job(
        self, job: BatchJob, answers: Mapping[str, Answer | ItemError], state: str
    ) -> None:
        """Commit every answer, every cost and the end of the job in one transaction."""
        with self.ledger.transaction():
            for key, item in self.ledger.job_items(job).items():
                answer = answers.get(key, MISSING_FROM_BATCH)
                if isinstance(answer, ItemError):
                    self._record_failed_attempt((job.part, key), answer)
                    answer = answer.bill if isinstance(answer, InvalidResponse) else {}
                else:
                    self.ledger.put(job.part, key, answer, item=item)
                self.ledger.settle_in_job(job, key, answer)
            self.ledger.close_job(job, state)

    def _record_failed_attempt(self, answer_key: AnswerKey, error: ItemError) -> None:
        """Let an invalid response be repeated in the next job, a few times; nothing else is."""
        self._attempts[answer_key] += 1
        repeatable = isinstance(error, NoResponse)
        if not repeatable or self._attempts[answer_key] >= MAX_ATTEMPTS_WITHOUT_RESPONSE:
            self.failures[answer_key] = error


def _collect_job(
    service: BatchService, id: str, log: Callable[[str], None]
) -> Mapping[str, Answer | ItemError] | ItemError | None:
    try:
        return service.collect(id, log)
    except ItemError as error:  # of the connection, not of the job: poll again later
        log(f"batch {id}: {error}")
        return None
