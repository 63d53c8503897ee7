"""Hooks of the documentation site: pages that are written by the project itself."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import typer.main
from typer.cli import get_docs_for_click

ROOT = Path(__file__).resolve().parents[2]


def on_config(config: Any) -> None:
    """Put the repository on the path: commands and docstrings are imported from it."""
    sys.path.insert(0, str(ROOT))


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Fill the pages of commands and of changes; leave others as they are."""
    name = page.file.src_path
    if name == "changelog.md":  # its links start at the repository's root
        return (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").replace("](docs/", "](")
    if name in ("cli-brickfilm.md", "cli-finetune.md"):
        return commands(name.removeprefix("cli-").removesuffix(".md"))
    return markdown


def commands(program: str) -> str:
    """Return the help of a program's commands as Markdown."""
    from brickfilm.cli import app as brickfilm_app
    from finetune.cli import app as finetune_app

    app = {"brickfilm": brickfilm_app, "finetune": finetune_app}[program]
    command = typer.main.get_command(app)
    for one in command.commands.values():
        one.short_help = (one.help or "").partition("\n\n")[0]  # whole: typer cuts it at 45 letters
    context = typer.Context(command, info_name=program)
    return str(get_docs_for_click(obj=command, ctx=context, name=program))
