"""BatchJobManager: requests sent as batch jobs, answered within a day at a lower price.

A job's random key and its items are committed before it is submitted. After a kill the service is
asked for the job of that key, so that nothing is submitted twice or lost.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from brickfilm.digest import digest_name
from brickfilm.engine.budget import Budgets
from brickfilm.engine.calls import AnyStage, with_cost
from brickfilm.engine.capabilities import Batched, BatchService
from brickfilm.engine.ledger import BatchJob, Ledger
from brickfilm.engine.pipeline import Pipeline
from brickfilm.engine.queue import Failures
from brickfilm.engine.run import CHECK_INTERVAL_SECONDS, PipelineRun
from brickfilm.engine.stage import Answer, WorkItem
from brickfilm.errors import InvalidResponse, ItemError, NoResponse

MISSING_FROM_BATCH = InvalidResponse(
    "the batch job ended without this item", reason="not answered", bill={}
)


class BatchJobManager:
    """Submit, poll and collect the batch jobs of a build, between its passes."""

    def __init__(self, pipeline: Pipeline, ledger: Ledger) -> None:
        self.ledger = ledger
        self.failures = Failures()
        """Errors of the whole build: pass it to every PipelineRun."""
        self._stages = pipeline.stages
        open_parts = {job.part for job in ledger.open_jobs()}
        self._batched = {
            n: s
            for n, s in enumerate(self._stages)
            if isinstance(s, Batched) and (s.uses_batch_jobs or s.digest in open_parts)
        }
        """Stages with batch jobs: of this run, or of an earlier one under the same settings."""
        self._services: dict[int, BatchService] = {}
        self._not_found: set[str] = set()
        """Keys of jobs of other settings that the service does not have: of another account."""
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        for position, stage in self._batched.items():
            connection = stage.open_batch_service(self.ledger.work)
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
        known = len(self.failures)
        for position, service in self._services.items():
            if self._batched[position].uses_batch_jobs:
                self._submit(self._stages[position], service, run.pending_items[position])
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
        for job, service in (*self._open_batch_jobs(), *self._jobs_of_other_settings()):
            if job.id is not None:
                service.cancel(job.id)
        while self._open_batch_jobs() or self._jobs_of_other_settings():
            if not self._collect(log):
                time.sleep(self._poll_seconds)

    @property
    def _poll_seconds(self) -> float:
        return min(stage.poll_seconds for stage in self._batched.values())

    def _open_batch_jobs(self) -> list[tuple[BatchJob, BatchService]]:
        by_part = {self._stages[n].digest: service for n, service in self._services.items()}
        return [(j, by_part[j.part]) for j in self.ledger.open_jobs() if j.part in by_part]

    def _jobs_of_other_settings(self) -> list[tuple[BatchJob, BatchService]]:
        """Return open jobs that a stage of this kind submitted before its settings changed.

        Those that the service does not have stay open: they may be of another account.
        """
        by_name = {digest_name(type(self._stages[n])): s for n, s in self._services.items()}
        return [
            (job, by_name[job.name])
            for job in self.ledger.open_jobs()
            if job.name in by_name and job.part not in {s.digest for s in self._stages}
            if job.id is not None and job.key not in self._not_found
        ]

    # -- submit ------------------------------------------------------------------------------

    def _submit(
        self, stage: AnyStage, service: BatchService, work_items: Sequence[WorkItem]
    ) -> None:
        budgets = Budgets([stage], self.ledger)
        claimed = self._claim(stage, work_items, budgets)

        def on_error(key: str, error: ItemError) -> None:
            self.failures[stage.digest, key] = error
            budgets.unclaim(stage, claimed.pop(key))

        requests = {key: work_item.request for key, work_item in claimed.items()}
        for request_file in service.write_request_files(requests, on_error):
            job = self._record_job(stage, [claimed[key] for key in request_file.keys], budgets)
            try:
                self.ledger.mark_submitted(job, service.submit(job.key, request_file))
            except ItemError:  # the job may have arrived all the same
                self._find_service_id(job, service)
            finally:
                request_file.file.unlink(missing_ok=True)

    def _claim(
        self, stage: AnyStage, work_items: Sequence[WorkItem], budgets: Budgets
    ) -> dict[str, WorkItem]:
        """Return the items to submit by key: each once, none in an open job, within the budget."""
        claimed: dict[str, WorkItem] = {}
        for work_item in work_items:
            key = work_item.keys[stage.digest]
            if key in claimed or self.ledger.in_open_job(stage.digest, key):
                continue
            priced = with_cost(stage, work_item)
            if budgets.claim(stage, [priced]):
                claimed[key] = priced
            else:
                self.failures[stage.digest, key] = budgets.exceeded(stage)
        return claimed

    def _record_job(
        self, stage: AnyStage, work_items: Sequence[WorkItem], budgets: Budgets
    ) -> BatchJob:
        """Commit the job's key, its items and their worst-case cost, before it is submitted."""
        job = BatchJob(key=uuid.uuid4().hex, part=stage.digest)
        with self.ledger.transaction():
            self.ledger.open_job(job, {w.keys[stage.digest]: w.item.id for w in work_items})
            for work_item in work_items:
                budgets.reserve(stage, work_item, job)
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
        """Store the answers of every job that has ended; return True if one has.

        Jobs of other settings are collected as well, so that their cost is known, but nobody waits.
        """
        for job, service in self._jobs_of_other_settings():
            assert job.id is not None
            answers = _collect_job(service, job.id, log)
            if isinstance(answers, NoResponse):
                self._not_found.add(job.key)
            else:
                self._close_ended(job, answers)
        ended = False
        for job, service in self._open_batch_jobs():
            if job.id is None:
                self._find_service_id(job, service)
                continue
            ended |= self._close_ended(job, _collect_job(service, job.id, log))
        return ended

    def _close_ended(
        self, job: BatchJob, answers: Mapping[str, Answer | ItemError] | ItemError | None
    ) -> bool:
        """Close a job that has ended, with its answers or its error; False if it still runs."""
        if isinstance(answers, ItemError):
            answers = dict.fromkeys(self.ledger.job_items(job), answers)
        if answers is not None:
            self._close_job(job, answers, "collected")
        return answers is not None

    def _close_job(
        self, job: BatchJob, answers: Mapping[str, Answer | ItemError], state: str
    ) -> None:
        """Commit every answer, every cost and the end of the job in one transaction."""
        with self.ledger.transaction():
            for key, item in self.ledger.job_items(job).items():
                answer = answers.get(key, MISSING_FROM_BATCH)
                if isinstance(answer, ItemError):
                    self.failures.count_attempt((job.part, key), answer)
                    bill = _bill(answer)
                else:
                    self.ledger.put(job.part, key, answer, item=item)
                    bill = answer
                if bill is not None:
                    self.ledger.settle_in_job(job, key, bill)
            self.ledger.close_job(job, state)


def _bill(error: ItemError) -> Answer | None:
    """Return what an item without an answer cost; None if that cannot be known."""
    if isinstance(error, InvalidResponse):
        return error.bill
    return None if isinstance(error, NoResponse) else {}


def _collect_job(
    service: BatchService, id: str, log: Callable[[str], None]
) -> Mapping[str, Answer | ItemError] | ItemError | None:
    try:
        return service.collect(id, log)
    except ItemError as error:  # of the connection, not of the job: poll again later
        log(f"batch {id}: {error}")
        return None
