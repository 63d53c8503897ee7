"""Stage, the base class of a pipeline step: a frozen dataclass whose fields are its configuration.

`compute` runs in a worker and its answer is stored; `apply` runs in the driver on every run.
Resuming replays `apply` over stored answers.
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
"""JSON, as the ledger stores it. Files are listed under the key "files" as `{"path": relative to
the work folder, "sha256"}`; an answer whose files are missing counts as no answer."""

In = TypeVar("In")
Out = TypeVar("Out")


@dataclass(frozen=True, kw_only=True)
class Resources:
    """The kind of worker that a stage runs in, and how many."""

    pool: Literal["thread", "process"] = "thread"
    """Threads for calls that wait (network), processes for calls that compute."""
    concurrency: int = 1
    """Maximum number of calls at the same time; 0 means one per CPU."""


class Part:
    """Owner of answers in the ledger: a stage, or a part of one with its own digest."""

    version: ClassVar[int] = 1
    """Increase it whenever the same item gets another answer."""

    @cached_property
    def digest(self) -> str:
        """Return 16 hex digits of class name, version and compared fields.

        Fields that say how, not what (budget, timeouts, address), are `field(compare=False)`.
        """
        return digest_of([digest_name(type(self)), self.version, digest_fields(self)])

    def key(self, item: Any) -> str:
        """Return what the answer depends on, from the record alone."""
        return str(item.id)


@dataclass(frozen=True)
class WorkItem:
    """An item, and the digests of the parts that have no answer for it yet."""

    item: Any
    parts: frozenset[str]


Result = Mapping[str, Answer] | ItemError
"""Result of one work item: answers by part digest, or the item's error."""


@dataclass(frozen=True)
class BatchRequestFile:
    """A request file for one batch job, and the items in it by key."""

    file: Path
    items: Mapping[str, Any]


class BatchService(Protocol):
    """A service that answers the requests of a whole file within a day."""

    def write_request_files(
        self, items: Mapping[str, Any], on_error: Callable[[str, ItemError], None]
    ) -> Iterator[BatchRequestFile]:
        """Yield request files within the service's limits; call `on_error` for unusable items."""

    def submit(self, job: str, request_file: BatchRequestFile) -> str:
        """Submit a file under our own random key `job`; return the service's id of the job."""

    def find_job(self, job: str) -> str | None:
        """Return the id of the job submitted under this key, or None if it never arrived."""

    def collect(
        self, id: str, log: Callable[[str], None]
    ) -> Mapping[str, Answer | ItemError] | ItemError | None:
        """Return answers by key or the job's error once it has ended; before that, log and None."""

    def cancel(self, id: str) -> None:
        """Ask the service to end the job; answers made until then can be collected."""


class Stage(Part, Generic[In, Out]):
    """One step of a pipeline. Most stages define `open` and `apply`, filters only `apply`."""

    input_types: tuple[type, ...] = ()
    """Record types it processes; items of other types pass unchanged. Empty means all types."""
    output_types: tuple[type, ...] = ()
    """Record types it emits, where they differ from `input_types`."""
    requires: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    """Names of what it reads from records and adds to them, checked before anything runs."""
    max_items_per_call: int = 1
    """Maximum number of items of one group in a call."""
    needs_source_file: bool = False
    """True if it opens the video file that its items come from."""
    runs_in_dry_run: bool = False
    """True if computing downloads, writes and costs nothing, so that a dry run may do it."""

    @property
    def name(self) -> str:
        return type(self).__name__

    @property
    def resources(self) -> Resources:
        return Resources()

    def parts(self) -> tuple[Part, ...]:
        """Return the parts with answers in the ledger: itself, unless it only has `apply`."""
        return (self,) if type(self).open is not Stage.open else ()

    def group(self, item: In) -> str:
        """Return the group of an item; items of one group may share a call."""
        return str(item.id)  # type: ignore[attr-defined]  # every record has an id

    def fuse(self, following: Stage[Any, Any]) -> Stage[Any, Any] | None:
        """Return one stage that does this and the following one in one call, or None."""
        return None

    def check(self) -> None:
        """Raise UsageError if `open` cannot work (no key, no extra); called before a build."""

    @property
    def uses_batch_jobs(self) -> bool:
        """Return True if its requests are sent in batch jobs between passes."""
        return False

    poll_seconds: float = 30.0
    """Interval between two status requests for an open batch job."""

    def open_batch_service(self, work: Path) -> AbstractContextManager[BatchService]:
        """Connect to the batch service, once per build."""
        raise NotImplementedError(f"{self.name} has no batch jobs")

    def open(self, work: Path) -> AbstractContextManager[Callable[[In], Answer]]:
        """Load models and connect clients, once per worker; yield the compute function."""
        raise NotImplementedError(f"{self.name} computes nothing")

    def run_batch(
        self, compute: Callable[..., Any], work_items: Sequence[WorkItem]
    ) -> list[Result]:
        """Compute the result of each work item, in a worker; an item's error is its result."""
        return [self._compute_one(compute, work_item) for work_item in work_items]

    def _compute_one(self, compute: Callable[[In], Answer], work_item: WorkItem) -> Result:
        try:
            return {self.digest: compute(work_item.item)}
        except ItemError as error:
            return error

    def active_downloads(self) -> Sequence[str]:
        """Return a few words about each long call in progress, for the progress display."""
        return ()

    def release_source(self, item: In, work: Path) -> None:
        """Delete the video made from this item, if it may go: no stage will read it again."""

    def request_source_refetch(self, item: In, work: Path) -> bool:
        """Arrange that a deleted video is fetched again; return False if that is impossible."""
        return False

    def apply(self, item: In, answer: Answer) -> Iterable[Out | Rejected]:
        """Yield the records that follow from the answer: pure and cheap, run on every run."""
        raise NotImplementedError

    def simulate(self, item: In) -> Iterable[Out]:
        """Yield the records that a dry run assumes for an item that is not computed."""
        return ()

    def forecast(self, items: Sequence[In], work: Path) -> str:
        """Describe the work and cost of computing these items."""
        return f"{len(items)} to do"

    def apply_parts(self, item: In, answers: Mapping[str, Answer]) -> Iterable[Out | Rejected]:
        """Apply the answers of all parts, by digest."""
        return self.apply(item, answers.get(self.digest, {}))

    @property
    def budget(self) -> float | None:
        """US dollars that all settings of this stage together may spend in one work folder."""
        return None

    @property
    def budget_group(self) -> tuple[str, ...]:
        """Names of the stages whose spending counts against the budget: its own, unless shared."""
        return (self.name,)

    def worst_case_cost(self, item: In) -> float | None:
        """Return the most US dollars that this item can cost; None if the stage is free."""
        return None
