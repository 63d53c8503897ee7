"""`brickfilm lint` and `brickfilm prompt show`: check captions, print a prompt."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from brickfilm.cli.app import app, console, print_json, print_text
from brickfilm.errors import UsageError
from brickfilm.schema.plural import pluralize

if TYPE_CHECKING:
    from brickfilm.captions.lint import Finding

MAX_EXAMPLES = 10

prompt_commands = typer.Typer(help="Prompts of the captioning model.", no_args_is_help=True)


@app.command()
def lint(
    file: Annotated[
        Path,
        typer.Argument(help=".csv, .jsonl, .parquet or .txt, a caption a row; or a work folder"),
    ],
    column: Annotated[
        str | None, typer.Option(help="column of the captions; default: 'caption' or 'text'")
    ] = None,
    prompt: Annotated[
        str, typer.Option(help="prompt whose rules apply: a name or a Markdown file")
    ] = "bricks",
    as_json: Annotated[bool, typer.Option("--json", help="print findings as JSON")] = False,
) -> None:
    """Check captions of any origin against a prompt's rules; exit with 1 if any breaks one."""
    from brickfilm.captions.lint import lint
    from brickfilm.captions.prompts import load_prompt

    rules = load_prompt(prompt)
    captions = captions_of(file, column)
    findings = [lint(caption, rules.rules, rules.text) for caption in captions]
    if as_json:
        print_json(_findings_json(captions, findings))
    else:
        _print_findings(findings)
    raise typer.Exit(int(any(findings)))


def captions_of(where: Path, column: str | None) -> Sequence[str]:
    """Return the captions of a file, or of the clips and images of a dataset's folder."""
    from brickfilm.captions.caption_files import read_captions
    from brickfilm.dataset.reader import find_dataset

    if not where.is_dir():
        return read_captions(where, column)
    saved, name = find_dataset(where), column or "caption"
    configs = [config for config in saved.configs if name in saved.columns(config)]
    if not configs:
        raise UsageError(f"--column {name!r}: no config of {str(where)!r} has this column")
    frames = [saved.to_pandas(config, (name,)) for config in configs]
    return [text for frame in frames for text in frame[name].dropna() if text]


@prompt_commands.command("show")
def show_prompt(
    prompt: Annotated[str, typer.Argument(help="a prompt's name, or a Markdown file")] = "bricks",
    images: Annotated[bool, typer.Option("--images", help="the prompt for images")] = False,
    at: Annotated[str, typer.Option(help="positions of the stills in a clip, 0 to 1")] = (
        "0.2,0.5,0.8"
    ),
) -> None:
    """Print exactly what is sent with the stills."""
    print_text(prompt_text(prompt, images=images, at=at))


app.add_typer(prompt_commands, name="prompt")


def prompt_text(name: str, *, images: bool, at: str) -> str:
    """Return the system message, the user message and the JSON schema of a caption request."""
    from brickfilm.captions.prompts import load_prompt
    from brickfilm.captions.reply_format import reply_schema
    from brickfilm.captions.request import user_text

    prompt = load_prompt(name, "images" if images else "clips")
    positions = [0.5] if images else _parse_positions(at)
    schema = json.dumps(reply_schema(prompt.item_kind), indent=2)
    return (
        f"# {prompt.name} version {prompt.version}, for {prompt.item_kind}, {prompt.digest}\n\n"
        f"## system\n\n{prompt.render(positions)}\n\n"
        f"## user\n\n{user_text(prompt.item_kind, positions)}\n"
        f"[{len(positions)} JPEG]\n\n"
        f"## JSON schema of the reply, strict\n\n{schema}"
    )


def _parse_positions(at: str) -> list[float]:
    error = UsageError(f"--at {at!r}: give fractions of a clip from 0 to 1, as 0.2,0.5,0.8")
    try:
        positions = [float(position) for position in at.split(",")]
    except ValueError:
        raise error from None
    if not all(0 <= position <= 1 for position in positions):
        raise error
    return positions


def _findings_json(captions: Sequence[str], findings: Sequence[list[Finding]]) -> dict[str, object]:
    from brickfilm.captions.lint import count_rules

    return {
        "captions": len(captions),
        "rules": dict(count_rules(findings)),
        "findings": [
            {"row": row, "caption": caption, "broken": [vars(finding) for finding in of_caption]}
            for row, (caption, of_caption) in enumerate(zip(captions, findings, strict=True))
            if of_caption
        ],
    }


def _print_findings(findings: Sequence[list[Finding]]) -> None:
    """Print how many captions break each rule, and the first MAX_EXAMPLES captions that do."""
    from brickfilm.captions.lint import count_rules

    table = Table("rule", "captions", "fraction", title=f"{len(findings)} captions")
    for rule, count in count_rules(findings).most_common():
        table.add_row(rule, str(count), f"{count / len(findings):.1%}")
    counted = f"{pluralize(len(findings), 'caption')}: none breaks a rule"
    console.print(table if table.rows else counted, highlight=False)
    rows = [(row, of_caption) for row, of_caption in enumerate(findings) if of_caption]
    for row, of_caption in rows[:MAX_EXAMPLES]:
        text = ", ".join(f"{f.rule}: {f.words!r}" for f in of_caption)
        console.print(f"row {row}: {text}", highlight=False)
    if len(rows) > MAX_EXAMPLES:
        console.print(f"... and {len(rows) - MAX_EXAMPLES} more: --json lists all", highlight=False)
