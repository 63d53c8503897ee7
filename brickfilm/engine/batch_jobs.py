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

from brickfilm.engine.ledger import Job, Ledger
from brickfilm.engine.pipeline import AnyStage, Pipeline
from brickfilm.engine.queue import Row
from brickfilm.engine.run import LOOK_SECONDS, TRIES_WITHOUT_ANSWER, Run
from brickfilm.engine.stage import Answer, Jobs, Pack
from brickfilm.errors import ItemError, Lost, Spoilt, Waiting

NOT_IN_ANSWER = Spoilt("the job ended without this item", reason="not answered", bill={})


class JobDesk:
    """Sends, watches and collects the jobs of a build, between its passes."""

    def __init__(self, pipeline: Pipeline, ledger: Ledger) -> None:
        self.ledger = ledger
        self.troubles: dict[Row, ItemError] = {}
        """Questions that no further job will answer in this build."""
        self._stages = {n: s for n, s in enumerate(pipeline.stages) if s.by_jobs}
        self._services: dict[int, Jobs] = {}
        self._tries: Counter[Row] = Counter()
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        for position, stage in self._stages.items():
            opened: AbstractContextManager[Jobs] = stage.open_jobs(self.ledger.work)
            self._services[position] = self._exits.enter_context(opened)
        for job, service in self._open():
            self._look_up(job, service)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._exits.__exit__(kind, error, trace)

    def advance(self, run: Run, *, wait: bool, say: Callable[[str], None]) -> bool:
        """Submit what a pass left for jobs, collect what has ended; True asks for another pass."""
        self.troubles.update(run.failed)
        known = len(self.troubles)
        for position, stage in self._stages.items():
            self._submit(position, stage, run.planned[position])
        while not (collected := self._collect(say)) and wait and self._open() and not run.stopping:
            self._rest(run)
        return collected or len(self.troubles) > known

    def _rest(self, run: Run) -> None:
        """Until it is time to look again, in short sleeps: a long one outlasts a Ctrl-C."""
        until = time.monotonic() + self._poll_seconds
        while not run.stopping and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, LOOK_SECONDS))

    def cancel(self, say: Callable[[str], None]) -> None:
        """Ask for the end of every open job, and keep what was answered until then."""
        for job, service in self._open():
            if job.id is not None:
                service.cancel(job.id)
        while self._open():
            if not self._collect(say):
                time.sleep(self._poll_seconds)

    @property
    def _poll_seconds(self) -> float:
        return min(stage.poll_seconds for stage in self._stages.values())

    def _open(self) -> list[tuple[Job, Jobs]]:
        by_part = {stage.digest: self._services[n] for n, stage in self._stages.items()}
        return [(j, by_part[j.part]) for j in self.ledger.open_jobs() if j.part in by_part]

    # -- sending -----------------------------------------------------------------------------

    def _submit(self, position: int, stage: AnyStage, items: list[Any]) -> None:
        service = self._services[position]

        def fail(key: str, error: ItemError) -> None:
            self.troubles[stage.digest, key] = error

        for pack in service.packs(self._affordable(stage, items), fail):
            job = self._write_down(stage, pack)
            try:
                self.ledger.submitted(job, service.submit(job.key, pack))
            except ItemError:  # no answer is no proof that nothing arrived
                self._look_up(job, service)
            finally:
                pack.file.unlink(missing_ok=True)

    def _affordable(self, stage: AnyStage, items: list[Any]) -> dict[str, Any]:
        """The items to ask about, by key: each once, none that is in a job, within the budget."""
        spent = sum(self.ledger.spent(name) for name in stage.purse)
        wanted: dict[str, Any] = {}
        for item in items:
            key = stage.key(item)
            if key in wanted or self.ledger.in_open_job(stage.digest, key):
                continue
            spent += stage.reserve(item) or 0.0
            if stage.budget is not None and spent > stage.budget:
                spent -= stage.reserve(item) or 0.0
                words = f"max_cost_usd={stage.budget} reached: raise it and run again"
                self.troubles[stage.digest, key] = Waiting(words, reason="budget")
            else:
                wanted[key] = item
        return wanted

    def _write_down(self, stage: AnyStage, pack: Pack) -> Job:
        """Commit the job's key, its questions and their price, before anything is sent."""
        job = Job(key=uuid.uuid4().hex, part=stage.digest)
        with self.ledger.transaction():
            self.ledger.open_job(job, {key: item.id for key, item in pack.items.items()})
            for key, item in pack.items.items():
                reserved = stage.reserve(item)
                if reserved is not None:
                    self.ledger.intend(stage.name, stage.digest, key, reserved, job=job.key)
        return job

    def _look_up(self, job: Job, service: Jobs) -> None:
        """Of a job without an id: the service knows its key, or it was never submitted."""
        if job.id is not None:
            return
        try:
            known = service.find(job.key)
        except Lost:
            return  # still unknown: the next run asks again
        if known is not None:
            self.ledger.submitted(job, known)
        else:
            self._close(job, dict.fromkeys(self.ledger.job_items(job), NOT_IN_ANSWER), "never sent")

    # -- collecting --------------------------------------------------------------------------

    def _collect(self, say: Callable[[str], None]) -> bool:
        """Keep the answers of every job that has ended."""
        ended = False
        for job, service in self._open():
            if job.id is None:
                self._look_up(job, service)
                continue
            landed = _collected(service, job.id, say)
            if isinstance(landed, ItemError):
                landed = dict.fromkeys(self.ledger.job_items(job), landed)
            if landed is not None:
                self._close(job, landed, "collected")
                ended = True
        return ended

    def _close(self, job: Job, landed: Mapping[str, Answer | ItemError], state: str) -> None:
        """One transaction: every answer, every bill, and the job's end."""
        with self.ledger.transaction():
            for key, item in self.ledger.job_items(job).items():
                answer = landed.get(key, NOT_IN_ANSWER)
                if isinstance(answer, ItemError):
                    self._again_or_not((job.part, key), answer)
                    answer = answer.bill if isinstance(answer, Spoilt) else {}
                else:
                    self.ledger.remember(job.part, key, answer, item=item)
                self.ledger.settle_in_job(job, key, answer)
            self.ledger.close_job(job, state)

    def _again_or_not(self, row: Row, error: ItemError) -> None:
        """What was spoilt goes into the next job, a few times; what failed does not."""
        self._tries[row] += 1
        if not isinstance(error, Lost) or self._tries[row] >= TRIES_WITHOUT_ANSWER:
            self.troubles[row] = error


def _collected(
    service: Jobs, id: str, say: Callable[[str], None]
) -> Mapping[str, Answer | ItemError] | ItemError | None:
    try:
        return service.collect(id, say)
    except ItemError as error:  # of the line, not of the job: look again later
        say(f"batch {id}: {error}")
        return None
