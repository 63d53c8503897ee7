"""`brickfilm lint` and `brickfilm prompt show`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from brickfilm.captions.caption_files import read_captions
from brickfilm.captions.lint import Finding, count_rules, lint
from brickfilm.captions.prompts import load_prompt
from brickfilm.captions.reply_format import reply_schema
from brickfilm.captions.request import user_text
from brickfilm.errors import UsageError

MAX_EXAMPLES = 10


def lint_file(file: Path, *, column: str | None, prompt: str, as_json: bool) -> int:
    """Print what is wrong with a file's captions; gives the exit code."""
    rules = load_prompt(prompt)
    captions = read_captions(file, column)
    found = [lint(caption, rules.rules, rules.text) for caption in captions]
    if as_json:
        print(json.dumps(_as_json(captions, found), ensure_ascii=False, indent=2))
    else:
        _print_tables(captions, found)
    return int(any(found))


def prompt_text(name: str, *, images: bool, at: str) -> str:
    """The system message, what stands before the stills, and the shape of the answer."""
    prompt = load_prompt(name, "images" if images else "clips")
    positions = [0.5] if images else _positions(at)
    shape = json.dumps(reply_schema(prompt.item_kind), indent=2)
    return (
        f"# {prompt.name} version {prompt.version}, for {prompt.item_kind}, {prompt.digest}\n\n"
        f"## system\n\n{prompt.render(positions)}\n\n"
        f"## user\n\n{user_text(prompt.item_kind, positions)}\n"
        f"[{len(positions)} JPEG]\n\n"
        f"## the answer's JSON schema, strict\n\n{shape}"
    )


def _positions(at: str) -> list[float]:
    complaint = UsageError(f"--at {at!r}: give shares of a clip from 0 to 1, as 0.2,0.5,0.8")
    try:
        shares = [float(share) for share in at.split(",")]
    except ValueError as error:
        raise complaint from error
    if not all(0 <= share <= 1 for share in shares):
        raise complaint
    return shares


def _as_json(captions: Sequence[str], found: Sequence[list[Finding]]) -> dict[str, object]:
    return {
        "captions": len(captions),
        "rules": dict(count_rules(found)),
        "findings": [
            {"row": row, "caption": caption, "broken": [vars(f) for f in findings]}
            for row, (caption, findings) in enumerate(zip(captions, found, strict=True))
            if findings
        ],
    }


def _print_tables(captions: Sequence[str], found: Sequence[list[Finding]]) -> None:
    console = Console()
    table = Table("rule", "captions", "share", title=f"{len(captions)} captions")
    for rule, count in count_rules(found).most_common():
        table.add_row(rule, str(count), f"{count / len(captions):.1%}")
    console.print(table)
    wrong = [(row, findings) for row, findings in enumerate(found) if findings]
    for row, findings in wrong[:MAX_EXAMPLES]:
        words = ", ".join(f"{f.rule}: {f.words!r}" for f in findings)
        console.print(f"row {row}: {words}", highlight=False, markup=False)
    if len(wrong) > MAX_EXAMPLES:
        console.print(
            f"... and {len(wrong) - MAX_EXAMPLES} more: --json shows all", highlight=False
        )
