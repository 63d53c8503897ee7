"""Call a stage the same way whatever capabilities it has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from brickfilm.engine.capabilities import MultiPart, Paid, Updatable, has_capability
from brickfilm.engine.stage import Answer, Part, Result, Stage, WorkItem
from brickfilm.errors import ItemError, Rejected
from brickfilm.records import Clip, Video

AnyStage = Stage[Any, Any]
REJECTED_KEY = "__rejected__"
"""In an answer, the rejection that was stored in its place."""
BatchFunction = Callable[[Sequence[WorkItem]], list[Result]]


def parts_of(stage: AnyStage) -> tuple[Part, ...]:
    """Return the owners of a stage's answers: itself, unless it only has `apply`."""
    if isinstance(stage, MultiPart):
        return stage.parts()
    return (stage,) if type(stage).open is not Stage.open else ()


def work_item_of(stage: AnyStage, item: Any, parts: Sequence[Part] | None = None) -> WorkItem:
    """Build an item's request and the keys of all parts, all of them still missing."""
    parts = parts_of(stage) if parts is None else parts
    request = stage.request(item) if parts else item
    keys = {part.digest: part.key(request) for part in parts}
    return WorkItem(item, frozenset(keys), keys, request)


def with_cost(stage: AnyStage, work_item: WorkItem) -> WorkItem:
    """Add the most that the request can cost."""
    if not has_capability(stage, Paid):
        return work_item
    return replace(work_item, cost=cast(Paid, stage).worst_case_cost(work_item.request))


@contextmanager
def open_stage(stage: AnyStage, work: Path) -> Iterator[BatchFunction]:
    """Open a stage in a worker; yield a function from work items to their results."""
    with stage.open(work) as compute:
        if isinstance(stage, MultiPart):
            yield compute  # type: ignore[misc]  # it takes work items
        else:
            yield lambda work_items: [_compute(stage, compute, w) for w in work_items]


def _compute(stage: AnyStage, compute: Callable[[Any], Answer], work_item: WorkItem) -> Result:
    return result_of(lambda: {stage.digest: compute(work_item.request)})


def result_of(compute: Callable[[], Mapping[str, Answer]]) -> Result:
    """Return the answers of a work item, or the ItemError that was raised instead."""
    try:
        return compute()
    except ItemError as error:
        return error


def apply_answers(stage: AnyStage, item: Any, answers: Mapping[str, Answer]) -> list[Any]:
    """Return the records and errors that follow from an item's answers.

    It is one error without a record if nothing follows: a stored rejection, or what `apply` raised.
    """
    for answer in answers.values():
        if REJECTED_KEY in answer:
            return [Rejected(**answer[REJECTED_KEY])]
    try:
        if has_capability(stage, MultiPart):
            return list(cast(MultiPart, stage).apply_parts(item, answers))
        return list(stage.apply(item, answers.get(stage.digest, {})))
    except ItemError as error:
        return [error]


def outdated_parts(
    stage: AnyStage, item: Any, answers: Mapping[str, Answer], work: Path
) -> frozenset[str]:
    """Return the parts whose stored answers the stage wants to compute again."""
    if not has_capability(stage, Updatable):
        return frozenset()
    updatable = cast(Updatable, stage)
    stored = ((part, answer) for part, answer in answers.items() if REJECTED_KEY not in answer)
    return frozenset(part for part, answer in stored if updatable.is_outdated(item, answer, work))


def as_measured(item: Any, outputs: Sequence[Any]) -> Any:
    """Return a video as the scan measured it, which its clips carry; other items unchanged."""
    records = (o.record if isinstance(o, ItemError) else o for o in outputs)
    videos = (record.video for record in records if isinstance(record, Clip))
    return next(videos, item) if isinstance(item, Video) else item
