"""Write the tables of docs/finetune-recipes.md: `python -m tests.kit.recipe_tables`.

A setting's line is its default, the values that its type admits, and its comment in the source.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import re
import typing
from collections.abc import Iterator, Sequence
from typing import Any

from finetune import config
from tests.kit import ROOT

PAGE = ROOT / "docs/finetune-recipes.md"
SECTIONS: dict[str, Any] = {
    "The recipe itself": config.Recipe,
    "`buckets`": config.Bucket,
    "`network`": config.Network,
    "`adapter`": config.Adapter,
    "`schedule`": config.Schedule,
    "`optimizer`": config.Optimizer,
    "`loss_spikes`": config.LossSpikes,
    "`checkpoints`": config.Checkpoints,
    "`validation`": config.Validation,
    "`flow`": config.Flow,
    "`log`": config.Log,
    "`published`": config.PublishedCost,
}
HEAD = ("| key | default | values | meaning |", "|---|---|---|---|")


def page_with_tables(page: str) -> str:
    """Replace the table of each section by the one of its settings."""
    for title, settings in SECTIONS.items():
        start = page.index(f"### {title}\n")
        before, _, after = page[start:].partition("\n\n")
        end = re.search(r"\n\n|\n\Z", after)
        assert end, title
        table = "\n".join((*HEAD, *rows(settings)))
        page = f"{page[:start]}{before}\n\n{table}{after[end.start() :]}"
    return page


def rows(settings: Any) -> Iterator[str]:
    """Yield a line for each setting that is not a table of its own."""
    hints, comments = typing.get_type_hints(settings, include_extras=True), comments_of(settings)
    tables = {title.strip("`") for title in SECTIONS} - {"buckets"}
    for field in dataclasses.fields(settings):
        if settings is config.Recipe and field.name in tables:
            continue
        default = "required"
        if field.default is not dataclasses.MISSING:
            default = f"`{json.dumps(field.default)}`"
        values = ", ".join(values_of(hints[field.name]))
        yield f"| `{field.name}` | {default} | {values} | {comments[field.name]} |"


def comments_of(settings: Any) -> dict[str, str]:
    """Return each setting's comment: behind it, or on the lines above it."""
    lines = inspect.getsource(settings).splitlines()
    (tree,) = ast.parse("\n".join(lines)).body
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            end = node.end_lineno or node.lineno
            behind = lines[end - 1][node.end_col_offset or 0 :].strip()
            found[node.target.id] = behind.lstrip("# ") or comment_above(lines[: node.lineno - 1])
    return found


def comment_above(lines: Sequence[str]) -> str:
    comment: list[str] = []
    for line in reversed(lines):
        if not line.strip().startswith("#"):
            break
        comment.insert(0, line.strip().removeprefix("# "))
    return " ".join(comment)


def values_of(hint: Any) -> Iterator[str]:
    """Yield the values that a type admits, where they are few or bounded."""
    if typing.get_origin(hint) is typing.Literal:
        yield from (f"`{value}`" for value in typing.get_args(hint))
    elif hint is bool:
        yield from ("`true`", "`false`")
    elif typing.get_origin(hint) is typing.Annotated:
        limits = hint.__metadata__[0].as_dict()
        low, high = limits.get("ge", limits.get("gt")), limits.get("le", limits.get("lt"))
        if low is not None:
            above, below = ("above " * ("gt" in limits)), ("below " * ("lt" in limits))
            yield (
                f"{above}{low} or more"
                if high is None and not above
                else (f"{above}{low}" if high is None else f"{above}{low} to {below}{high}")
            )


if __name__ == "__main__":
    PAGE.write_text(page_with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
