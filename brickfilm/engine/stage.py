"""What a stage is: a frozen dataclass whose fields are its whole configuration.

A stage asks (`open`, in a worker, once for every answer that the ledger lacks) and it tells
(`apply`, in the driver, on every run): so resuming is nothing but replaying.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar

from brickfilm.digest import digest_fields, digest_name, digest_of
from brickfilm.errors import ItemError, Rejected

Answer = Mapping[str, Any]
"""What the ledger keeps: JSON. Files it names are `{"path": relative to the work folder, "sha256"}`
under the key "files"; an answer whose files are gone counts as no answer."""

In = TypeVar("In")
Out = TypeVar("Out")


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What one call of a stage takes, so that an executor can decide where it runs."""

    pool: Literal["thread", "process"] = "thread"
    """Waiting work (network) runs in threads, computing work in processes."""
    concurrency: int = 1
    """Calls at the same time, at most; 0 means one for each CPU."""
    cpus: float = 1.0
    gpus: float = 0.0


class Part:
    """Something with rows in the ledger: a stage, or a part of one with a digest of its own."""

    version: ClassVar[int] = 1
    """Raised whenever the same question gets another answer."""

    @cached_property
    def digest(self) -> str:
        """16 hex digits of class, version and the fields that compare.

        Fields that say how, not what (budget, timeouts, address), are `field(compare=False)`.
        """
        return digest_of([digest_name(type(self)), self.version, digest_fields(self)])

    def key(self, item: Any) -> str:
        """What the answer depends on, from the record alone."""
        return str(item.id)


@dataclass(frozen=True)
class WorkItem:
    """An item, and the digests of the parts that have no answer for it yet."""

    item: Any
    parts: frozenset[str]


Result = Mapping[str, Answer] | ItemError
"""What came of one want: answers by part digest, or the item's error."""


@dataclass(frozen=True)
class BatchRequestFile:
    """Questions that fit into one job: a request file, and the items in it by their key."""

    file: Path
    items: Mapping[str, Any]


class BatchService(Protocol):
    """A service that takes many questions in one job and answers them within a day."""

    def write_request_files(
        self, items: Mapping[str, Any], on_error: Callable[[str, ItemError], None]
    ) -> Iterator[BatchRequestFile]:
        """Write request files within the service's limits, one by one; `on_error` what cannot be."""

    def submit(self, job: str, request_file: BatchRequestFile) -> str:
        """Hand a pack over under our own random key; gives the service's id of the job."""

    def find_job(self, job: str) -> str | None:
        """The id of the job that was submitted under this key, if it arrived."""

    def collect(
        self, id: str, log: Callable[[str], None]
    ) -> Mapping[str, Answer | ItemError] | ItemError | None:
        """Answers by key, or the whole job's error, once it has ended; before, None and a word."""

    def cancel(self, id: str) -> None:
        """Ask for the job's end; what is answered until then can be collected."""


class Stage(Part, Generic[In, Out]):
    """One step of a pipeline. Simple ones write `open` and `apply`, rules only `apply`."""

    input_types: tuple[type, ...] = ()
    """Record types it works on; items of other types pass by unchanged."""
    output_types: tuple[type, ...] = ()
    """Record types it emits where they differ from what it takes."""
    requires: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    """Names of what it reads from records and adds to them: checked before anything runs."""
    max_items_per_call: int = 1
    """Items of one group that a call may take together."""
    needs_source_file: bool = False
    """Whether it opens the film that its items come from."""
    runs_in_dry_run: bool = False
    """Whether a dry run asks it: true where asking fetches, writes and costs nothing."""

    @property
    def name(self) -> str:
        return type(self).__name__

    @property
    def resources(self) -> Resources:
        return Resources()

    def parts(self) -> tuple[Part, ...]:
        """The parts that have rows: itself, unless it never asks."""
        return (self,) if type(self).open is not Stage.open else ()

    def group(self, item: In) -> str:
        """Items of one group may share a call."""
        return str(item.id)  # type: ignore[attr-defined]  # every record has an id

    def fuse(self, following: Stage[Any, Any]) -> Stage[Any, Any] | None:
        """One stage that does this and the following one in one call, where that pays."""
        return None

    def check(self) -> None:
        """Raise UsageError where `open` could not work (no key, no extra), before a build."""

    @property
    def uses_batch_jobs(self) -> bool:
        """Whether its questions go out in jobs between passes, not one by one."""
        return False

    poll_seconds: float = 30.0
    """Between two looks at a job that has not ended."""

    def open_batch_service(self, work: Path) -> AbstractContextManager[BatchService]:
        """Connect to the service that takes jobs, once a build."""
        raise NotImplementedError(f"{self.name} has no jobs")

    def open(self, work: Path) -> AbstractContextManager[Callable[[In], Answer]]:
        """Once a worker: load models, connect clients; gives the function that asks."""
        raise NotImplementedError(f"{self.name} never asks")

    def run_batch(
        self, compute: Callable[..., Any], work_items: Sequence[WorkItem]
    ) -> list[Result]:
        """Answer each want, in a worker; an item's error stands in its place."""
        return [self._compute_one(compute, work_item) for work_item in work_items]

    def _compute_one(self, compute: Callable[[In], Answer], work_item: WorkItem) -> Result:
        try:
            return {self.digest: compute(work_item.item)}
        except ItemError as error:
            return error

    def active_downloads(self) -> Sequence[str]:
        """What is being done this moment, for people: a few words for each long call."""
        return ()

    def release_source(self, item: In, work: Path) -> None:
        """Nothing will read the film again that came of this item: it may be deleted."""

    def request_source_refetch(self, item: In, work: Path) -> bool:
        """A film is wanted whose file is gone: whether asking anew would bring it back."""
        return False

    def apply(self, item: In, answer: Answer) -> Iterable[Out | Rejected]:
        """What follows from the answer: pure and cheap, called by the driver on every run."""
        raise NotImplementedError

    def simulate(self, item: In) -> Iterable[Out]:
        """What a dry run may take as coming out of an item that is not asked about."""
        return ()

    def forecast(self, items: Sequence[In], work: Path) -> str:
        """What asking about these items will take, in words."""
        return f"{len(items)} to do"

    def apply_parts(self, item: In, answers: Mapping[str, Answer]) -> Iterable[Out | Rejected]:
        """`apply` for a stage of any number of parts."""
        return self.apply(item, answers.get(self.digest, {}))

    @property
    def budget(self) -> float | None:
        """US dollars this kind of stage may spend in one work folder, all settings together."""
        return None

    @property
    def budget_group(self) -> tuple[str, ...]:
        """Names of the stages whose spending counts against the budget: its own, unless shared."""
        return (self.name,)

    def worst_case_cost(self, item: In) -> float | None:
        """US dollars that asking for this item can cost at most; None asks nobody who charges."""
        return None
