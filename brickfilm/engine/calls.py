"""Call a stage the same way whatever capabilities it has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from brickfilm.engine.capabilities import MultiPart, Paid
from brickfilm.engine.stage import Answer, Part, Result, Stage, WorkItem
from brickfilm.errors import ItemError

AnyStage = Stage[Any, Any]
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
    if not isinstance(stage, Paid):
        return work_item
    return replace(work_item, cost=stage.worst_case_cost(work_item.request))


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
    """Return the records and rejections that follow from an item's answers."""
    if isinstance(stage, MultiPart):
        return list(stage.apply_parts(item, answers))
    return list(stage.apply(item, answers.get(stage.digest, {})))
