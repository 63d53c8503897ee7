"""One pass over a source: the loop that keeps every stage busy and forgets nothing.

Resuming is replaying: items run through the stages as far as the ledger's answers reach, and wait
in a lane's inbox where one is missing. The driver alone touches the ledger.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from typing import Any, Protocol

from brickfilm.errors import ItemError, Lost, Rejected, Spoilt, Waiting, WorkdirUnusable
from brickfilm.executors import Delivery, Executor
from brickfilm.in_use import FilmsInUse, Maker
from brickfilm.lane import Flight, Lane, Row
from brickfilm.ledger import Intent, Ledger, Outcome
from brickfilm.pipeline import AnyStage, Pipeline
from brickfilm.records import Clip, Video
from brickfilm.stage import Answer, Landed, Want
from brickfilm.tombstones import Tombstones

REJECTED = "__rejected__"
TRIES_WITHOUT_ANSWER = 3
LOOK_SECONDS = 0.5
"""How often a wait looks at progress, and at whether it was told to stop."""


class Progress(Protocol):
    """Somebody who watches a run."""

    def update(self, lanes: Sequence[Lane], outcomes: Sequence[Outcome]) -> None:
        """Called after every change, often: look, and be quick."""


class Unwatched:
    """Nobody watches."""

    def update(self, lanes: Sequence[Lane], outcomes: Sequence[Outcome]) -> None:
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
        self.lanes = [Lane(n, s, executor.width(s)) for n, s in enumerate(pipeline.stages)]
        self.finished: list[Any] = []
        self.outcomes: list[Outcome] = []
        self.left_out: dict[str, Clip] = {}
        """Clips that did not come through, by id, as far as they came."""
        self.planned: dict[int, list[Any]] = {lane.position: [] for lane in self.lanes}
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
            for lane in reversed(self.lanes):  # downstream first: nothing deadlocks
                if self._may_send(lane):
                    self._send(lane)
            while more and not self.stopping and self._room_below(-1):
                item = next(source, None)
                more = item is not None
                if more:
                    self._push(0, item)
            self.progress.update(self.lanes, self.outcomes)
            if self._flights:
                flown = wait(self._flights, LOOK_SECONDS, return_when=FIRST_COMPLETED)
                self._land(flown.done)
            elif self.stopping or not (more or any(lane.inbox for lane in self.lanes)):
                return self._leave_waiting()

    # -- forward -----------------------------------------------------------------------------

    def _push(self, position: int, item: Any) -> None:
        """Carry an item as far as the ledger's answers reach."""
        if gone := self._tombstones.objection(item):
            lane = self.lanes[min(position, len(self.lanes) - 1)]
            self._note(lane, item, "rejected", gone)
            return
        while position < len(self.lanes) and not _takes(self.lanes[position].stage, item):
            position += 1
        if position == len(self.lanes):
            self.finished.append(item)
            return
        lane = self.lanes[position]
        rows = [(part.digest, part.key(item)) for part in lane.stage.parts()]
        answers = {row: self.ledger.recall(*row) for row in rows}
        missing = [row for row, answer in answers.items() if answer is None]
        if not missing:
            self._resolve(lane, item, {d: a for (d, _), a in answers.items() if a is not None})
        elif failed := next((self.failed[row] for row in missing if row in self.failed), None):
            self._note(lane, item, "waiting" if isinstance(failed, Waiting) else "failed", failed)
        elif self.rehearse and not lane.stage.rehearses:
            self.planned[position].append(item)
            self._note(lane, item, "waiting", reason="dry run")
            for out in lane.stage.imagine(item):
                self._push(position + 1, out)
        elif lane.stage.reads_film and self._want_back(item):
            self._note(lane, item, "waiting", reason="film deleted", message="fetched again")
        elif lane.stage.by_jobs:
            self.planned[position].append(item)
            self._note(lane, item, "waiting", reason="batch")
        elif twin := next((row for row in missing if row in lane.claimed), None):
            self.films.enter(position, item)
            lane.claimed[twin].append(item)  # the same question is asked once
        else:
            self.films.enter(position, item)
            lane.claimed.update({row: [] for row in missing})
            lane.inbox.append(Want(item, frozenset(digest for digest, _ in missing)))

    def _resolve(self, lane: Lane, item: Any, answers: dict[str, Answer]) -> None:
        for answer in answers.values():
            if REJECTED in answer:
                return self._note(lane, item, "rejected", Rejected(**answer[REJECTED]))
        results = list(lane.stage.resolve(item, answers))
        if len(results) == 1 and isinstance(results[0], Rejected) and results[0].of is None:
            return self._note(lane, item, "rejected", results[0])
        self._note(lane, item, "done")
        for result in results:
            if isinstance(result, Rejected):
                self._note(lane, result.of or item, "rejected", result)
            else:
                if isinstance(result, Video):
                    self.films.made(result, Maker(lane.stage, item))
                self._push(lane.position + 1, result)
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

    def _may_send(self, lane: Lane) -> bool:
        return (
            not self.stopping
            and bool(lane.inbox)
            and lane.flying < lane.width
            and self._room_below(lane.position)
        )

    def _room_below(self, position: int) -> bool:
        return all(lane.has_room for lane in self.lanes[position + 1 :])

    def _send(self, lane: Lane) -> None:
        """Start every call that may start; all their intents are committed first, in one go."""
        flights: list[Flight] = []
        with self.ledger.transaction():
            while self._may_send(lane):
                wants = lane.take()
                if self._affordable(lane, wants):
                    intents = [self._intend(lane, want) for want in wants]
                    flights.append(Flight(lane, wants, intents))
                    lane.flying += 1
                elif self._money_may_return(lane):
                    lane.inbox.extendleft(reversed(wants))
                    break
                else:
                    self._wait_for_budget(lane, wants)
        for flight in flights:
            future = self.executor.submit(lane.stage, self.ledger.work, flight.wants)
            self._flights[future] = flight

    def _money_may_return(self, lane: Lane) -> bool:
        """Whether a landing can still free some of what was set aside."""
        return any(other.flying for other in self.lanes if other.stage.name in lane.stage.purse)

    def _affordable(self, lane: Lane, wants: Sequence[Want]) -> bool:
        asked = sum(lane.stage.reserve(want.item) or 0.0 for want in wants)
        if lane.stage.budget is None or not asked:
            return True
        return sum(self._spent[name] for name in lane.stage.purse) + asked <= lane.stage.budget

    def _intend(self, lane: Lane, want: Want) -> Intent | None:
        dollars = lane.stage.reserve(want.item)
        if dollars is None:
            return None
        self._count_money(lane, dollars)
        return self.ledger.intend(lane.stage.name, *lane.rows(want)[0], dollars)

    def _count_money(self, lane: Lane, dollars: float) -> None:
        if lane.stage.name in self._spent:
            self._spent[lane.stage.name] += dollars

    def _wait_for_budget(self, lane: Lane, wants: Sequence[Want]) -> None:
        reason = f"max_cost_usd={lane.stage.budget} reached: raise it and run again"
        for want in wants:
            for item in self._unclaim(lane, want):
                self._note(lane, item, "waiting", reason="budget", message=reason)

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
            flight.lane.flying -= 1
        for future in good:
            self._move_on(flights[future])
        for future in flights.keys() - good:
            future.result()

    def _move_on(self, flight: Flight) -> None:
        landed = [item for want in flight.wants for item in self._unclaim(flight.lane, want)]
        for item in landed:
            self._push(flight.lane.position, item)  # finds its answers now
        self._release(landed)

    def _commit(self, flight: Flight, delivery: Delivery) -> None:
        seconds = delivery.seconds / len(flight.wants)
        with self.ledger.transaction():
            for want, intent, landed in zip(
                flight.wants, flight.intents, delivery.landed, strict=True
            ):
                self._keep(flight.lane, want, intent, landed, seconds)

    def _keep(
        self, lane: Lane, want: Want, intent: Intent | None, landed: Landed, seconds: float
    ) -> None:
        """Write down what a want brought: answers, a rejection, or nothing but a failure."""
        rows = dict(lane.rows(want))
        match landed:
            case Lost():
                self._lose(lane, list(rows.items()), landed)
                if isinstance(landed, Spoilt):
                    self._settle(lane, intent, landed.bill)
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
        self._settle(lane, intent, next(iter(answers.values()), {}))

    def _settle(self, lane: Lane, intent: Intent | None, bill: Answer) -> None:
        """Replace what was set aside by what it came to."""
        if intent is not None:
            self._count_money(lane, (bill.get("cost") or 0.0) - intent.reserved)
            self.ledger.settle(intent, bill)

    def _lose(self, lane: Lane, rows: Sequence[Row], error: Lost) -> None:
        """A request without an answer stays reserved; it is asked again a few times."""
        for row in rows:
            lane.tries[row] += 1
            if lane.tries[row] >= TRIES_WITHOUT_ANSWER:
                self.failed[row] = error

    def _unclaim(self, lane: Lane, want: Want) -> list[Any]:
        """The want's item and those that waited for the same answer."""
        followers = [item for row in lane.rows(want) for item in lane.claimed.pop(row, [])]
        for item in (want.item, *followers):
            self.films.leave(lane.position, item)
        return [want.item, *followers]

    # -- the end -----------------------------------------------------------------------------

    def _leave_waiting(self) -> None:
        """Say of everything still in an inbox that the next run goes on with it."""
        for lane in self.lanes:
            while lane.inbox:
                for item in self._unclaim(lane, lane.inbox.popleft()):
                    self._note(lane, item, "waiting", reason="interrupted")

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
        lane: Lane,
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
            self.films.keep(lane.position, item)
        self.outcomes.append(
            Outcome(
                position=lane.position,
                stage=lane.stage.name,
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
