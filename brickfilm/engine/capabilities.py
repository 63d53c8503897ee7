"""Optional capabilities of a stage, each a protocol that the engine looks up by isinstance.

A stage inherits those that it has: `class Caption(Stage[Clip, Clip], Paid, DryRun)`. Members with a
body are defaults. `check_capabilities` refuses a stage that has one member of several.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from brickfilm.engine.stage import Answer, Part, Stage
from brickfilm.errors import ItemError, WiringError
from brickfilm.records import Clip


@runtime_checkable
class Checked(Protocol):
    """A stage that can tell before a build that it cannot work."""

    @abstractmethod
    def check(self) -> None:
        """Raise UsageError: no key, no extra, a file that is not there."""


@runtime_checkable
class Paid(Protocol):
    """A stage whose requests cost money. The worst case is stored before a request is sent.

    A computed answer states its `cost` in US dollars, and may have `model`, `input_tokens` and
    `output_tokens`; the reservation is settled with them.
    """

    @property
    def name(self) -> str: ...

    @property
    @abstractmethod
    def budget(self) -> float | None:
        """US dollars that all settings of this stage together may spend in one work folder."""

    @property
    def budget_group(self) -> tuple[str, ...]:
        """Names of the stages whose spending counts against the budget: its own, unless shared."""
        return (self.name,)

    @abstractmethod
    def worst_case_cost(self, request: Any) -> float | None:
        """Return the most US dollars that this request can cost; None if it is free."""


@runtime_checkable
class DryRun(Protocol):
    """A stage that says what a dry run, which does not compute it, would have got from it."""

    def simulate(self, item: Any) -> Iterable[Any]:
        """Yield the records that a dry run assumes for an item."""
        return ()

    def forecast(self, items: Sequence[Any], work: Path) -> str:
        """Describe the work and cost of computing these items."""
        return f"{len(items)} to do"


@runtime_checkable
class SourceOwner(Protocol):
    """A stage that makes videos from listings by downloading them, and may delete them again."""

    @abstractmethod
    def release_source(self, item: Any, work: Path) -> None:
        """Delete the video made from this item, if it may go: no stage will read it again."""

    @abstractmethod
    def request_source_refetch(self, item: Any, work: Path) -> bool:
        """Arrange that a deleted video is fetched again; return False if that is impossible."""

    def active_downloads(self) -> Sequence[str]:
        """Return a few words about each download in progress, for the progress display."""
        return ()


@runtime_checkable
class Updatable(Protocol):
    """A stage whose stored answers may lack what a newer version needs to know of some items."""

    @abstractmethod
    def is_outdated(self, item: Any, answer: Answer, work: Path) -> bool:
        """Return True to compute a stored answer again; called whenever it is read."""

    def updated(self, old: Answer, new: Answer) -> Answer:
        """Return what to store in place of an old answer that was computed again."""
        return new


@runtime_checkable
class MultiPart(Protocol):
    """A stage whose answers have several owners, each with a digest, or one call several items.

    Its `open` yields a function of work items that returns their results: `WorkItem.parts` has the
    digests of the missing answers, and an item's error is its result.
    """

    max_items_per_call: int = 1
    """Maximum number of items of one group in a call."""

    def group(self, item: Any) -> str:
        """Return the group of an item; items of one group may share a call."""
        return str(item.id)

    @abstractmethod
    def parts(self) -> tuple[Part, ...]:
        """Return the owners of its answers."""

    @abstractmethod
    def apply_parts(self, item: Any, answers: Mapping[str, Answer]) -> Iterable[Any]:
        """Yield records like `apply`, from the answers of all parts by digest."""


@runtime_checkable
class Trims(Protocol):
    """A stage that cuts clips, and can cut one with ends that a person moved."""

    @abstractmethod
    def trimmed(
        self, item: Any, answers: Mapping[str, Answer], clip: Clip, start: int, end: int
    ) -> Clip:
        """Return a clip that it yielded for the item, with the frames [start, end) of the video."""


@dataclass(frozen=True)
class BatchRequestFile:
    """A request file for one batch job, and the keys of the requests in it."""

    file: Path
    keys: Sequence[str]


class BatchService(Protocol):
    """A service that answers the requests of a whole file within a day."""

    def write_request_files(
        self, requests: Mapping[str, Any], on_error: Callable[[str, ItemError], None]
    ) -> Iterator[BatchRequestFile]:
        """Yield request files within the service's limits; call `on_error` for unusable requests.

        requests: by key, as the stage's `request` built them.
        """

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


@runtime_checkable
class Batched(Protocol):
    """A stage whose requests can be sent in batch jobs, between the passes of a build."""

    poll_seconds: float = 30.0
    """Interval between two status requests for an open batch job."""

    @property
    def uses_batch_jobs(self) -> bool:
        """Return False if its settings ask for a request at a time."""
        return True

    @abstractmethod
    def open_batch_service(self, work: Path) -> AbstractContextManager[BatchService]:
        """Connect to the batch service, once per build."""


CAPABILITIES = (Checked, Paid, DryRun, SourceOwner, Updatable, MultiPart, Trims, Batched)

_HAS: dict[tuple[type, type], bool] = {}


def has_capability(stage: Stage[Any, Any], capability: Any) -> bool:
    """Return isinstance(stage, capability), kept for each class: 80 µs a call, and one an item."""
    key = type(stage), capability
    if key not in _HAS:
        _HAS[key] = isinstance(stage, capability)
    return _HAS[key]


REMOVED_HOOKS: Mapping[str, str] = {
    "run_batch": "inherit MultiPart, whose `open` yields a function of work items",
    "fuse": "inherit engine.sinks.Sink: adjacent sinks share one decode",
    "takes": "call it input_types",
    "makes": "call it output_types",
    "needs": "call it requires",
    "gives": "call it provides",
}
"""Hooks of earlier versions to what replaces them."""


def check_capabilities(stage: Stage[Any, Any]) -> None:
    """Raise WiringError for a hook that the engine would not call, or a stage without `apply`."""
    names = {*dir(type(stage)), *vars(stage)}
    for hook, remedy in REMOVED_HOOKS.items():
        if hook in names:
            raise WiringError(f"{stage.name}.{hook} is not used any more: {remedy}")
    for capability in CAPABILITIES:
        hooks = [name for name in _members(capability) if name in names]
        if hooks and not isinstance(stage, capability):
            name = capability.__name__
            raise WiringError(
                f"{stage.name} has {', '.join(hooks)} but is no {name}: write class {stage.name}"
                f"(Stage[...], {name}), with {name} from brickfilm.engine.capabilities"
            )
    if type(stage).apply is Stage.apply and not isinstance(stage, MultiPart):
        raise WiringError(f"{stage.name} has no apply(item, answer): define it to yield records")


def _members(capability: type) -> list[str]:
    """Return the hooks of a capability: every stage has a name."""
    return [name for name in vars(capability) if not name.startswith("_") and name != "name"]
