"""A list of stages, checked before a byte is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from brickfilm.engine.stage import Part, Stage
from brickfilm.errors import WiringError
from brickfilm.records import Listing

AnyStage = Stage[Any, Any]


class Source(Protocol):
    """Where footage comes from: lists cheaply, and brings the stages that fetch."""

    def items(self) -> Iterator[Any]:
        """What there is, without opening any of it."""

    def stages(self) -> tuple[AnyStage, ...]:
        """What turns a listed item into a `Video`."""


@runtime_checkable
class Recorder(Protocol):
    """A source that also writes down, after a pass, what it has fetched."""

    def finish(self, work: Path, done: Sequence[str]) -> None:
        """`done`: the source ids of every film that is there, from this pass or before."""


@dataclass(frozen=True)
class Pipeline:
    """The stages of a build in order, neighbours fused where one decode can serve both."""

    stages: tuple[AnyStage, ...]
    original_stages: tuple[AnyStage, ...]
    """Before fusing, for people."""

    @classmethod
    def from_stages(cls, source: Source, stages: Sequence[AnyStage]) -> Pipeline:
        """Check the wiring, then fuse."""
        whole = (*source.stages(), *stages)
        check_wiring(whole)
        return cls(tuple(_fused(whole)), whole)

    def parts(self) -> list[Part]:
        """Everything that has rows in the ledger."""
        return [part for stage in self.stages for part in stage.parts()]

    def check(self) -> None:
        """Raise UsageError where a stage could not be asked: a missing key, a missing extra."""
        for stage in self.original_stages:
            stage.check()

    def describe(self) -> str:
        """The plan, a line a stage."""
        return "\n".join(f"{n}. {stage!r}" for n, stage in enumerate(self.original_stages, start=1))


def check_wiring(stages: Sequence[AnyStage]) -> None:
    """Raise WiringError where a stage needs what nothing before it gives."""
    names: set[str] = set()
    types: set[type] = {Listing}
    for stage in stages:
        if missing := sorted(set(stage.requires) - names):
            raise WiringError(_missing_message(stage, missing, stages))
        if stage.input_types and not types & set(stage.input_types):
            kinds = " or ".join(kind.__name__ for kind in stage.input_types)
            raise WiringError(
                f"{stage.name} takes {kinds}, and nothing before it makes one: "
                f"put the stage that does ahead of it"
            )
        names |= set(stage.provides)
        types |= set(stage.output_types)


def _missing_message(stage: AnyStage, missing: list[str], stages: Sequence[AnyStage]) -> str:
    givers = [other.name for other in stages if set(missing) & set(other.provides)]
    names = ", ".join(map(repr, missing))
    remedy = f"move it behind {' or '.join(givers)}" if givers else "add what gives it"
    return f"{stage.name} needs {names}, which nothing before it gives: {remedy}"


def _fused(stages: Sequence[AnyStage]) -> list[AnyStage]:
    fused: list[AnyStage] = []
    for stage in stages:
        both = fused[-1].fuse(stage) if fused else None
        if both is None:
            fused.append(stage)
        else:
            fused[-1] = both
    return fused
