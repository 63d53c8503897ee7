"""Stage, the base class of a pipeline step: a frozen dataclass whose fields are its configuration.

`compute` runs in a worker and its answer is stored; `apply` runs in the driver on every run.
Resuming replays `apply` over stored answers. What only some stages do is in `capabilities.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, TypeVar

from brickfilm.digest import digest_fields, digest_name, digest_of
from brickfilm.errors import ItemError, Rejected

Answer = Mapping[str, Any]
"""JSON, as the ledger stores it. Files are listed under the key "files" as `{"path": relative to
the work folder, "sha256"}`; an answer whose files are missing counts as no answer."""

Result = Mapping[str, Answer] | ItemError
"""Result of one work item: answers by part digest, or the item's error."""

In = TypeVar("In")
Out = TypeVar("Out")


@dataclass(frozen=True, kw_only=True)
class Resources:
    """The kind of worker that a stage runs in, and how many."""

    pool: Literal["thread", "process"] = "thread"
    """Threads for calls that wait (network), processes for calls that compute."""
    concurrency: int = 1
    """Maximum number of calls at the same time; 0 means one per CPU."""
    gpus: float = 0.0
    """GPUs that a worker needs on a Ray cluster, where it gets them for itself."""


@dataclass(frozen=True)
class WorkItem:
    """An item of a stage, with what is computed from it once in a run."""

    item: Any
    parts: frozenset[str]
    """Digests of the parts that have no answer for it yet."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """The key of every part by its digest."""
    request: Any = None
    """`Stage.request(item)`."""
    cost: float | None = None
    """The most US dollars that computing it can cost; None if it is free."""


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

    def key(self, request: Any) -> str:
        """Return what the answer depends on, from the stage's request alone."""
        return f"{request.id}{getattr(request, 'conversion_key', '')}"


class Stage(Part, Generic[In, Out]):
    """One step of a pipeline: `open` and `apply`, or only `apply` if it computes nothing."""

    input_types: tuple[type, ...] = ()
    """Record types it processes; items of other types pass unchanged. Empty means all types."""
    output_types: tuple[type, ...] = ()
    """Record types it emits, where they differ from `input_types`."""
    requires: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    """Names of what it reads from records and adds to them, checked before anything runs."""
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

    def request(self, item: In) -> Any:
        """Return what `key`, `compute` and `worst_case_cost` get: the item, or a request of it.

        It is built once for each item of a run.
        """
        return item

    def open(self, work: Path) -> AbstractContextManager[Callable[[Any], Answer]]:
        """Load models and connect clients, once per worker; yield `compute(request)`."""
        raise NotImplementedError(f"{self.name} computes nothing")

    def apply(self, item: In, answer: Answer) -> Iterable[Out | Rejected]:
        """Yield the records that follow from the answer: pure and cheap, run on every run.

        An ItemError that it raises is the result of the whole item.
        """
        raise NotImplementedError
