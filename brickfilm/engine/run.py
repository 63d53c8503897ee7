"""One pass over a source: the loop that keeps every stage busy and forgets nothing.

Resuming is replaying: items run through the stages as far as the ledger's answers reach, and wait
in a queue's inbox where one is missing. The driver alone touches the ledger.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from typing import Any, Protocol

from brickfilm.engine.executors import Delivery, Executor
from brickfilm.engine.ledger import Intent, Ledger, Outcome
from brickfilm.engine.pipeline import AnyStage, Pipeline
from brickfilm.engine.queue import Flight, Row, StageQueue
from brickfilm.engine.source_refs import FilmsInUse, Maker
from brickfilm.engine.stage import Answer, Landed, Want
from brickfilm.engine.tombstones import Tombstones
from brickfilm.errors import ItemError, Lost, Rejected, Spoilt, Waiting, WorkdirUnusable
from brickfilm.records import Clip, Video

REJECTED = "__rejected__"
TRIES_WITHOUT_ANSWER = 3
LOOK_SECONDS = 0.5
"""How often a wait looks at progress, and at whether it was told to stop."""


class Progress(Protocol):
    """Somebody who watches a run."""

    def update(self, queues: Sequence[StageQueue], outcomes: Sequence[Outcome]) -> None:
        """Called after every change, often: look, and be quick."""


class Unwatched:
    """Nobody watches."""

    def update(self, queues: Sequence[StageQueue], outcomes: Sequence[Outcome]) -> None:
        """Nothing to show."""


class Run:
    """One pass. `finished` are the records that came through; `outcomes` says all of the rest."""

    def __init__(
        self,
        pipeline: Pipeline,
        ledger: Ledger,
        executor: Executor,
        *,
        progress: Progress | None = None,
        rehearse: bool = False,
        failed: Mapping[Row, ItemError] | None = None,
    ) -> None:
        self.ledger = ledger
        self.executor = executor
        self.rehearse = rehearse
        self.progress = progress or Unwatched()
        self.queues = [StageQueue(n, s, executor.width(s)) for n, s in enumerate(pipeline.stages)]
        self.finished: list[Any] = []
        self.outcomes: list[Outcome] = []
        self.left_out: dict[str, Clip] = {}
        """Clips that did not come through, by id, as far as they came."""
        self.planned: dict[int, list[Any]] = {queue.position: [] for queue in self.queues}
        """What each stage would be asked, in a rehearsal or by a job."""
        self.stopping = False
        self.films = FilmsInUse(pipeline.stages)
        self.failed: dict[Row, ItemError] = dict(failed or {})
        """Questions not to be asked again in this build, and why."""
        self._flights: dict[Future[Delivery], Flight] = {}
        purses = {n for s in pipeline.stages if s.budget is not None for n in s.purse}
        self._spent = {name: ledger.spent(name) for name in purses}
        self._tombstones = Tombstones.of(ledger.work)
        ledger.introduce(pipeline.parts())

    def stop(self) -> None:
        """Dispatch nothing more; what flies lands and is kept."""
        self.stopping = True

    def go(self, source: Iterator[Any]) -> None:
        """Run until nothing is left to do. A bug drains what flies before it is raised."""
        try:
            self._loop(source)
        except Exception:  # a second Ctrl-C is none: it leaves at once
            self._drain()
            raise
        finally:
            with suppress(WorkdirUnusable):  # already on its way up
                self.ledger.end_pass(self.outcomes)

    def _loop(self, source: Iterator[Any]) -> None:
        more = True
        while True:
            for queue in reversed(self.queues):  # downstream first: nothing deadlocks
                if self._may_send(queue):
                    self._send(queue)
            while more and not self.stopping and self._room_below(-1):
                item = next(source, None)
                more = item is not None
                if more:
                    self._push(0, item)
            self.progress.update(self.queues, self.outcomes)
            if self._flights:
                flown = wait(self._flights, LOOK_SECONDS, return_when=FIRST_COMPLETED)
                self._land(flown.done)
            elif self.stopping or not (more or any(queue.inbox for queue in self.queues)):
                return self._leave_waiting()

    # -- forward -----------------------------------------------------------------------------

    def _push(self, position: int, item: Any) -> None:
        """Carry an item as far as the ledger's answers reach."""
        if gone := self._tombstones.objection(item):
            queue = self.queues[min(position, len(self.queues) - 1)]
            self._note(queue, item, "rejected", gone)
            return
        while position < len(self.queues) and not _takes(self.queues[position].stage, item):
            position += 1
        if position == len(self.queues):
            self.finished.append(item)
            return
        queue = self.queues[position]
        rows = [(part.digest, part.key(item)) for part in queue.stage.parts()]
        answers = {row: self.ledger.recall(*row) for row in rows}
        missing = [row for row, answer in answers.items() if answer is None]
        if not missing:
            self._resolve(queue, item, {d: a for (d, _), a in answers.items() if a is not None})
        elif failed := next((self.failed[row] for row in missing if row in self.failed), None):
            self._note(queue, item, "waiting" if isinstance(failed, Waiting) else "failed", failed)
        elif self.rehearse and not queue.stage.rehearses:
            self.planned[position].append(item)
            self._note(queue, item, "waiting", reason="dry run")
            for out in queue.stage.imagine(item):
                self._push(position + 1, out)
        elif queue.stage.reads_film and self._want_back(item):
            self._note(queue, item, "waiting", reason="film deleted", message="fetched again")
        elif queue.stage.by_jobs:
            self.planned[position].append(item)
            self._note(queue, item, "waiting", reason="batch")
        elif twin := next((row for row in missing if row in queue.claimed), None):
            self.films.enter(position, item)
            queue.claimed[twin].append(item)  # the same question is asked once
        else:
            self.films.enter(position, item)
            queue.claimed.update({row: [] for row in missing})
            queue.inbox.append(Want(item, frozenset(digest for digest, _ in missing)))

    def _resolve(self, queue: StageQueue, item: Any, answers: dict[str, Answer]) -> None:
        for answer in answers.values():
            if REJECTED in answer:
                return self._note(queue, item, "rejected", Rejected(**answer[REJECTED]))
        results = list(queue.stage.resolve(item, answers))
        if len(results) == 1 and isinstance(results[0], Rejected) and results[0].of is None:
            return self._note(queue, item, "rejected", results[0])
        self._note(queue, item, "done")
        for result in results:
            if isinstance(result, Rejected):
                self._note(queue, result.of or item, "rejected", result)
            else:
                if isinstance(result, Video):
                    self.films.made(result, Maker(queue.stage, item))
                self._push(queue.position + 1, result)
        self._release(result for result in results if isinstance(result, Video))
        return None

    def _want_back(self, item: Any) -> bool:
        return self.films.want_back(item, self.ledger, rehearse=self.rehearse)

    def _release(self, items: Iterable[Any]) -> None:
        """Tell those that brought these items' films which of them nobody needs any more."""
        if not self.rehearse:
            for maker in self.films.done_with(items):
                maker.stage.release(maker.item, self.ledger.work)

    # -- dispatch ----------------------------------------------------------------------------

    def _may_send(self, queue: StageQueue) -> bool:
        return (
            not self.stopping
            and bool(queue.inbox)
            and queue.flying < queue.width
            and self._room_below(queue.position)
        )

    def _room_below(self, position: int) -> bool:
        return all(queue.has_room for queue in self.queues[position + 1 :])

    def _send(self, queue: StageQueue) -> None:
        """Start every call that may start; all their intents are committed first, in one go."""
        flights: list[Flight] = []
        with self.ledger.transaction():
            while self._may_send(queue):
                wants = queue.take()
                if self._affordable(queue, wants):
                    intents = [self._intend(queue, want) for want in wants]
                    flights.append(Flight(queue, wants, intents))
                    queue.flying += 1
                elif self._money_may_return(queue):
                    queue.inbox.extendleft(reversed(wants))
                    break
                else:
                    self._wait_for_budget(queue, wants)
        for flight in flights:
            future = self.executor.submit(queue.stage, self.ledger.work, flight.wants)
            self._flights[future] = flight

    def _money_may_return(self, queue: StageQueue) -> bool:
        """Whether a landing can still free some of what was set aside."""
        return any(other.flying for other in self.queues if other.stage.name in queue.stage.purse)

    def _affordable(self, queue: StageQueue, wants: Sequence[Want]) -> bool:
        asked = sum(queue.stage.reserve(want.item) or 0.0 for want in wants)
        if queue.stage.budget is None or not asked:
            return True
        return sum(self._spent[name] for name in queue.stage.purse) + asked <= queue.stage.budget

    def _intend(self, queue: StageQueue, want: Want) -> Intent | None:
        dollars = queue.stage.reserve(want.item)
        if dollars is None:
            return None
        self._count_money(queue, dollars)
        return self.ledger.intend(queue.stage.name, *queue.rows(want)[0], dollars)

    def _count_money(self, queue: StageQueue, dollars: float) -> None:
        if queue.stage.name in self._spent:
            self._spent[queue.stage.name] += dollars

    def _wait_for_budget(self, queue: StageQueue, wants: Sequence[Want]) -> None:
        reason = f"max_cost_usd={queue.stage.budget} reached: raise it and run again"
        for want in wants:
            for item in self._unclaim(queue, want):
                self._note(queue, item, "waiting", reason="budget", message=reason)

    # -- landing -----------------------------------------------------------------------------

    def _land(self, done: Iterable[Future[Delivery]]) -> None:
        """Commit what arrived, in one go, before any of it moves on; then raise what went wrong."""
        flights = {future: self._flights.pop(future) for future in done}
        good = [future for future in flights if future.exception() is None]
        if good:
            with self.ledger.transaction():
                for future in good:
                    self._commit(flights[future], future.result())
        for flight in flights.values():
            flight.queue.flying -= 1
        for future in good:
            self._move_on(flights[future])
        for future in flights.keys() - good:
            future.result()

    def _move_on(self, flight: Flight) -> None:
        landed = [item for want in flight.wants for item in self._unclaim(flight.queue, want)]
        for item in landed:
            self._push(flight.queue.position, item)  # finds its answers now
        self._release(landed)

    def _commit(self, flight: Flight, delivery: Delivery) -> None:
        seconds = delivery.seconds / len(flight.wants)
        with self.ledger.transaction():
            for want, intent, landed in zip(
                flight.wants, flight.intents, delivery.landed, strict=True
            ):
                self._keep(flight.queue, want, intent, landed, seconds)

    def _keep(
        self, queue: StageQueue, want: Want, intent: Intent | None, landed: Landed, seconds: float
    ) -> None:
        """Write down what a want brought: answers, a rejection, or nothing but a failure."""
        rows = dict(queue.rows(want))
        match landed:
            case Lost():
                self._lose(queue, list(rows.items()), landed)
                if isinstance(landed, Spoilt):
                    self._settle(queue, intent, landed.bill)
                return
            case Rejected():
                told = {"message": str(landed), "reason": landed.reason}
                answers: dict[str, Answer] = {digest: {REJECTED: told} for digest in rows}
            case ItemError():
                self.failed.update(dict.fromkeys(rows.items(), landed))
                answers = {}
            case _:
                answers = dict(landed)
        for digest, answer in answers.items():
            share = seconds / len(answers)
            self.ledger.remember(digest, rows[digest], answer, share, item=want.item.id)
        self._settle(queue, intent, next(iter(answers.values()), {}))

    def _settle(self, queue: StageQueue, intent: Intent | None, bill: Answer) -> None:
        """Replace what was set aside by what it came to."""
        if intent is not None:
            self._count_money(queue, (bill.get("cost") or 0.0) - intent.reserved)
            self.ledger.settle(intent, bill)

    def _lose(self, queue: StageQueue, rows: Sequence[Row], error: Lost) -> None:
        """A request without an answer stays reserved; it is asked again a few times."""
        for row in rows:
            queue.tries[row] += 1
            if queue.tries[row] >= TRIES_WITHOUT_ANSWER:
                self.failed[row] = error

    def _unclaim(self, queue: StageQueue, want: Want) -> list[Any]:
        """The want's item and those that waited for the same answer."""
        followers = [item for row in queue.rows(want) for item in queue.claimed.pop(row, [])]
        for item in (want.item, *followers):
            self.films.leave(queue.position, item)
        return [want.item, *followers]

    # -- the end -----------------------------------------------------------------------------

    def _leave_waiting(self) -> None:
        """Say of everything still in an inbox that the next run goes on with it."""
        for queue in self.queues:
            while queue.inbox:
                for item in self._unclaim(queue, queue.inbox.popleft()):
                    self._note(queue, item, "waiting", reason="interrupted")

    def _drain(self) -> None:
        """After a bug or a refusal: keep what flies, follow nothing."""
        for future in wait(self._flights).done:
            if future.exception() is None:
                with suppress(WorkdirUnusable):
                    self._commit(self._flights[future], future.result())
        self._flights.clear()
        self._leave_waiting()

    def _note(
        self,
        queue: StageQueue,
        item: Any,
        outcome: str,
        error: ItemError | None = None,
        *,
        reason: str = "",
        message: str = "",
    ) -> None:
        if outcome != "done" and isinstance(item, Clip):
            self.left_out[item.id] = item
        if outcome in ("failed", "waiting"):
            self.films.keep(queue.position, item)
        self.outcomes.append(
            Outcome(
                position=queue.position,
                stage=queue.stage.name,
                kind=type(item).__name__.lower(),
                item=item.id,
                source_id=_source_of(item),
                outcome=outcome,
                reason=error.reason if error else reason,
                message=str(error) if error else message,
                seconds=_seconds_of(item),
            )
        )


def _takes(stage: AnyStage, item: Any) -> bool:
    return not stage.takes or isinstance(item, stage.takes)


def _source_of(item: Any) -> str:
    film = item if hasattr(item, "source_id") else item.video
    return str(film.source_id)


def _seconds_of(item: Any) -> float:
    match item:
        case Video():
            return item.duration
        case Clip():
            return item.end - item.start
    return 0.0
