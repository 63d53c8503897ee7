"""Pipeline: the stages of a build, checked and fused before anything is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from brickfilm.engine.calls import AnyStage, parts_of
from brickfilm.engine.capabilities import Checked, check_capabilities
from brickfilm.engine.sinks import FusedSinks, Sink
from brickfilm.engine.stage import Part
from brickfilm.errors import ItemError, WiringError
from brickfilm.records import Clip, Image, Listing, Video
from brickfilm.schema.public_text import public_text

RECORD_FIELDS = frozenset(f.name for kind in (Video, Clip, Image) for f in fields(kind))


@runtime_checkable
class Source(Protocol):
    """A list of footage, with the stages that turn an entry into a `Video`."""

    def items(self) -> Iterator[Any]:
        """Yield the entries, without opening any; an ItemError for what it cannot take."""

    def stages(self) -> tuple[AnyStage, ...]:
        """Return the stages that make a `Video` from an entry."""


def source_id_of(entry: Any) -> str:
    """Return the source id of a source's entry or of an error's record; '' if it has none."""
    record = entry.record if isinstance(entry, ItemError) else entry
    return str(getattr(record, "source_id", ""))


@runtime_checkable
class Recorder(Protocol):
    """A source that records after a pass what it has fetched."""

    def finish(self, work: Path, done: Sequence[str]) -> None:
        """Record the source ids of all fetched videos, from this pass or earlier ones."""


@dataclass(frozen=True)
class Pipeline:
    """The stages of a build in order; neighbours that can share one decode are fused."""

    stages: tuple[AnyStage, ...]
    original_stages: tuple[AnyStage, ...]
    """The stages before fusing, for people."""

    @classmethod
    def from_stages(cls, source: Source, stages: Sequence[AnyStage]) -> Pipeline:
        """Check that the stages fit together, then fuse them; raise WiringError if they do not."""
        if isinstance(source, type) or not isinstance(source, Source):
            raise WiringError(
                f"{source!r} is no source: give an instance of a class with items() and stages(), "
                "such as FolderSource(...)"
            )
        original = (*source.stages(), *stages)
        check_wiring(original)
        return cls(tuple(fuse_sinks(original)), original)

    def parts(self) -> list[Part]:
        """Return everything that has answers in the ledger."""
        return [part for stage in self.stages for part in parts_of(stage)]

    def check(self) -> None:
        """Raise UsageError if a stage cannot run: a missing key, a missing extra."""
        for stage in self.original_stages:
            if isinstance(stage, Checked):
                stage.check()

    def describe(self) -> str:
        """Return the plan, one stage per line."""
        lines = (f"{n}. {stage!r}" for n, stage in enumerate(self.original_stages, start=1))
        return public_text("\n".join(lines))


def check_wiring(stages: Sequence[AnyStage]) -> None:
    """Raise WiringError if stages do not fit together.

    One requires what no stage before it provides, gives a score that another one gives, or has
    hooks that the engine would not call.
    """
    names: set[str] = set()
    types: set[type] = {Listing}
    for stage in stages:
        check_capabilities(stage)
        if missing := sorted(set(stage.requires) - names):
            raise WiringError(_missing_message(stage, missing, stages))
        if stage.input_types and not types & set(stage.input_types):
            kinds = " or ".join(kind.__name__ for kind in stage.input_types)
            raise WiringError(
                f"{stage.name} needs a {kinds}, and no stage before it outputs one: "
                "move it behind the stage that does"
            )
        _check_scores(stage, stages)
        names |= set(stage.provides)
        types |= set(stage.output_types)


def _check_scores(stage: AnyStage, stages: Sequence[AnyStage]) -> None:
    """Raise WiringError if a score of a stage is given twice: the last would overwrite the first.

    Fields of records, as captions, may be set by several stages.
    """
    for name in stage.provides:
        givers = [other.name for other in stages for given in other.provides if given == name]
        if name not in RECORD_FIELDS and len(givers) > 1:
            raise WiringError(
                f"{' and '.join(givers)} both give the score {name!r}, and one would overwrite the "
                "other: leave one out, or name the score of one differently"
            )


def _missing_message(stage: AnyStage, missing: list[str], stages: Sequence[AnyStage]) -> str:
    providers = [other.name for other in stages if set(missing) & set(other.provides)]
    names = ", ".join(map(repr, missing))
    remedy = f"move it behind {' or '.join(providers)}" if providers else "add one that does"
    return f"{stage.name} requires {names}, which no stage before it provides: {remedy}"


def fuse_sinks(stages: Sequence[AnyStage]) -> Iterator[AnyStage]:
    """Yield the stages, with adjacent sinks as one."""
    for are_sinks, group in groupby(stages, lambda stage: isinstance(stage, Sink)):
        if are_sinks:
            yield FusedSinks(tuple(stage for stage in group if isinstance(stage, Sink)))
        else:
            yield from group
