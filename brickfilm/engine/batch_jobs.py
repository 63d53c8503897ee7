"""Questions that go out in jobs: many at once, answered within a day, at a lower price.

A job's random key and its questions are committed before it is submitted. After a kill the service
is asked whether it knows that key: so nothing is submitted twice, and nothing is forgotten.
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
    "the job ended without this item", reason="not answered", bill={}
)


class BatchJobManager:
    """Sends, watches and collects the jobs of a build, between its passes."""

    def __init__(self, pipeline: Pipeline, ledger: Ledger) -> None:
        self.ledger = ledger
        self.failures: dict[AnswerKey, ItemError] = {}
        """Questions that no further job will answer in this build."""
        self._stages = {n: s for n, s in enumerate(pipeline.stages) if s.uses_batch_jobs}
        self._services: dict[int, BatchService] = {}
        self._attempts: Counter[AnswerKey] = Counter()
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        for position, stage in self._stages.items():
            opened: AbstractContextManager[BatchService] = stage.open_batch_service(
                self.ledger.work
            )
            self._services[position] = self._exits.enter_context(opened)
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
        """Submit what a pass left for jobs, collect what has ended; True asks for another pass."""
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
        """Until it is time to look again, in short sleeps: a long one outlasts a Ctrl-C."""
        until = time.monotonic() + self._poll_seconds
        while not run.stopping and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, CHECK_INTERVAL_SECONDS))

    def cancel(self, log: Callable[[str], None]) -> None:
        """Ask for the end of every open job, and keep what was answered until then."""
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

    # -- sending -----------------------------------------------------------------------------

    def _submit(self, position: int, stage: AnyStage, items: list[Any]) -> None:
        service = self._services[position]

        def on_error(key: str, error: ItemError) -> None:
            self.failures[stage.digest, key] = error

        for request_file in service.write_request_files(
            self._within_budget(stage, items), on_error
        ):
            job = self._record_job(stage, request_file)
            try:
                self.ledger.mark_submitted(job, service.submit(job.key, request_file))
            except ItemError:  # no answer is no proof that nothing arrived
                self._find_service_id(job, service)
            finally:
                request_file.file.unlink(missing_ok=True)

    def _within_budget(self, stage: AnyStage, items: list[Any]) -> dict[str, Any]:
        """The items to ask about, by key: each once, none that is in a job, within the budget."""
        spent = sum(self.ledger.spent(name) for name in stage.budget_group)
        wanted: dict[str, Any] = {}
        for item in items:
            key = stage.key(item)
            if key in wanted or self.ledger.in_open_job(stage.digest, key):
                continue
            spent += stage.worst_case_cost(item) or 0.0
            if stage.budget is not None and spent > stage.budget:
                spent -= stage.worst_case_cost(item) or 0.0
                words = f"max_cost_usd={stage.budget} reached: raise it and run again"
                self.failures[stage.digest, key] = Waiting(words, reason="budget")
            else:
                wanted[key] = item
        return wanted

    def _record_job(self, stage: AnyStage, request_file: BatchRequestFile) -> BatchJob:
        """Commit the job's key, its questions and their price, before anything is sent."""
        job = BatchJob(key=uuid.uuid4().hex, part=stage.digest)
        with self.ledger.transaction():
            self.ledger.open_job(job, {key: item.id for key, item in request_file.items.items()})
            for key, item in request_file.items.items():
                reserved = stage.worst_case_cost(item)
                if reserved is not None:
                    self.ledger.reserve(stage.name, stage.digest, key, reserved, job=job.key)
        return job

    def _find_service_id(self, job: BatchJob, service: BatchService) -> None:
        """Of a job without an id: the service knows its key, or it was never submitted."""
        if job.id is not None:
            return
        try:
            known = service.find_job(job.key)
        except NoResponse:
            return  # still unknown: the next run asks again
        if known is not None:
            self.ledger.mark_submitted(job, known)
        else:
            self._close_job(
                job, dict.fromkeys(self.ledger.job_items(job), MISSING_FROM_BATCH), "never sent"
            )

    # -- collecting --------------------------------------------------------------------------

    def _collect(self, log: Callable[[str], None]) -> bool:
        """Keep the answers of every job that has ended."""
        ended = False
        for job, service in self._open_batch_jobs():
            if job.id is None:
                self._find_service_id(job, service)
                continue
            landed = _collect_job(service, job.id, log)
            if isinstance(landed, ItemError):
                landed = dict.fromkeys(self.ledger.job_items(job), landed)
            if landed is not None:
                self._close_job(job, landed, "collected")
                ended = True
        return ended

    def _close_job(
        self, job: BatchJob, landed: Mapping[str, Answer | ItemError], state: str
    ) -> None:
        """One transaction: every answer, every bill, and the job's end."""
        with self.ledger.transaction():
            for key, item in self.ledger.job_items(job).items():
                answer = landed.get(key, MISSING_FROM_BATCH)
                if isinstance(answer, ItemError):
                    self._record_failed_attempt((job.part, key), answer)
                    answer = answer.bill if isinstance(answer, InvalidResponse) else {}
                else:
                    self.ledger.put(job.part, key, answer, item=item)
                self.ledger.settle_in_job(job, key, answer)
            self.ledger.close_job(job, state)

    def _record_failed_attempt(self, answer_key: AnswerKey, error: ItemError) -> None:
        """What was spoilt goes into the next job, a few times; what failed does not."""
        self._attempts[answer_key] += 1
        if (
            not isinstance(error, NoResponse)
            or self._attempts[answer_key] >= MAX_ATTEMPTS_WITHOUT_RESPONSE
        ):
            self.failures[answer_key] = error


def _collect_job(
    service: BatchService, id: str, log: Callable[[str], None]
) -> Mapping[str, Answer | ItemError] | ItemError | None:
    try:
        return service.collect(id, log)
    except ItemError as error:  # of the line, not of the job: look again later
        log(f"batch {id}: {error}")
        return None
