"""`brickfilm review`, and `captions export`, `import` and `revert`: people correct captions."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from brickfilm.cli.app import app, print_text
from brickfilm.schema.plural import pluralize

captions_commands = typer.Typer(help="Captions that people correct.", no_args_is_help=True)
WorkArgument = Annotated[Path, typer.Argument(help="the --out folder of a build")]


@app.command("review")
def review_command(
    folder: WorkArgument,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one")] = 0,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="open the page in a browser")
    ] = True,
) -> None:
    """Serve a page on this machine to play, keep, correct, trim or leave out clips."""
    from brickfilm.review import open_review

    with open_review(folder, port=port) as page:
        print_text(f"review: {page.address}")
        print_text("Ctrl-C ends it; the next build of the folder applies what was decided")
        if browser:
            typer.launch(page.address)
        page.serve()


@captions_commands.command("export")
def export_command(
    folder: WorkArgument,
    to: Annotated[Path, typer.Option("--to", help="a .csv or .jsonl file")],
) -> None:
    """Write the captions of a build to a file; change caption, status, reject or note there."""
    from brickfilm.review import export_captions

    print_text(f"{pluralize(export_captions(folder, to), 'caption')}: {to}")


@captions_commands.command("import")
def import_command(
    folder: WorkArgument,
    file: Annotated[Path, typer.Option("--from", help="the changed .csv, .jsonl or .parquet")],
) -> None:
    """Keep what a person changed in an exported file; the next build takes it over, for free."""
    from brickfilm.review import import_captions

    edits = import_captions(folder, file)
    rejected = sum(edit.reject for edit in edits)
    print_text(f"{pluralize(len(edits), 'edit')}, {pluralize(rejected, 'rejection')} among them")
    if edits:
        print_text(f"run the build of {quote(str(folder))} again to apply them")


@captions_commands.command("revert")
def revert_command(
    folder: WorkArgument,
    items: Annotated[list[str], typer.Argument(help="ids of clips and images")],
) -> None:
    """Forget the edits of these clips and images: the captioner's own captions come back."""
    from brickfilm.engine.ledger import delete_edits

    print_text(f"{pluralize(delete_edits(folder, items), 'edit')} reverted")


app.add_typer(captions_commands, name="captions")
