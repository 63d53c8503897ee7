"""The page of a training lists every error that can end `plan`, `cache` or `train`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.kit import ROOT

PAGE = ROOT / "docs/finetune.md"
STOPS = {
    *("CacheError", "CheckpointError", "DataError", "EngineError", "LoaderKilled"),
    *("TrainingStopped", "WeightsError"),
}
"""ConfigError is not among them: it names the setting and the values that it takes."""
UNITS = ("data", "engines", "models", "planning", "training")


def raised_messages() -> Iterator[tuple[str, str]]:
    """Yield place and text, with ... for values, of each error of STOPS."""
    for file in [file for unit in UNITS for file in (ROOT / "finetune" / unit).rglob("*.py")]:
        for node in nodes(file):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in STOPS and node.args:
                yield f"{file.relative_to(ROOT)}:{node.lineno}", template(node.args[0])


def nodes(file: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(file.read_text()))


def template(node: ast.AST) -> str:
    """Return a string's text with ... for each value; nothing of another expression."""
    if isinstance(node, ast.Constant):
        return str(node.value).replace("`", "")
    if isinstance(node, ast.JoinedStr):
        return "".join(template(part) or "..." for part in node.values)
    return ""


def listed() -> dict[str, re.Pattern[str]]:
    """Return the messages of the table as patterns, in which ... and N stand for values."""
    section = PAGE.read_text().split("\n## When it stops\n")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][1:]
    cells = [row.split(" | ")[0].removeprefix("| ").replace("`", "") for row in rows]
    found = {}
    for message in (message for cell in cells for message in cell.split("; ")):
        parts = [re.escape(part.strip()) for part in re.split(r"\.\.\.|\bN\b", message)]
        found[message] = re.compile(".*".join(parts), re.DOTALL)
    return found


def test_every_error_that_ends_a_run_is_in_the_table() -> None:
    patterns = listed().values()
    raised = list(raised_messages())
    assert len(raised) > 30
    worded = [place for place in raised if len(re.findall("[a-z]{2,}", place[1])) > 1]
    assert [m for m in worded if not any(p.search(m[1]) for p in patterns)] == []


def test_every_message_of_the_table_is_in_the_code() -> None:
    files = [*(ROOT / "finetune").rglob("*.py"), ROOT / "brickfilm/schema/hub_errors.py"]
    texts = {template(node) for file in files for node in nodes(file)}
    unknown = [m for m, p in listed().items() if not any(p.search(text) for text in texts)]
    assert unknown == []
