"""The command line: a skin over the library. Errors become one line and an exit code.

Exit codes: 0 done, 1 some items failed, 2 wrong usage, 3 some only wait, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from brickfilm.cli.caption_commands import caption_commands
from brickfilm.cli.hub_commands import hub_commands
from brickfilm.errors import BrickfilmError, UsageError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(hub_commands)
app.add_typer(caption_commands)
console = Console()

EXIT_INTERRUPTED = 130

OutOption = Annotated[Path, typer.Option("--out", help="work folder: dataset, report, ledger")]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="say what would be done, and do none of it")
]
LockedOption = Annotated[
    bool, typer.Option("--locked", help="fetch exactly what OUT/sources.lock.json names")
]
AllowDriftOption = Annotated[
    bool, typer.Option("--allow-drift", help="locked, but take other bytes where a site changed")
]


def _print_version(wanted: bool) -> None:
    if wanted:
        from brickfilm.build.plan_file import version_of

        typer.echo(f"brickfilm {version_of('brickfilm') or 'from a clone, not installed'}")
        raise typer.Exit


@app.callback()
def global_options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="show the version and exit"
        ),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="show where an error came from")] = False,
) -> None:
    """Footage in, captioned Hugging Face dataset out."""


@app.command()
def demo(out: OutOption = Path("work/demo")) -> None:
    """Render a small brick film and build a captioned dataset from it: no key, no network."""
    from brickfilm.cli.build import run_build
    from brickfilm.cli.demo import demo_recipe

    run_build(demo_recipe(out), out)


@app.command()
def build(
    footage: Annotated[Path, typer.Argument(help="a film, a folder of films, or a recipe .py")],
    out: OutOption,
    captions: Annotated[
        str, typer.Option(help="gpt-4o, sidecar (.vtt/.srt/.json beside the films) or none")
    ] = "gpt-4o",
    sound: Annotated[
        bool,
        typer.Option("--sound", help="clips keep their films' sound; without it they have none"),
    ] = False,
    licence: Annotated[
        str, typer.Option(help="of the films in a folder, such as 'CC BY 4.0'; `push` asks for it")
    ] = "",
    uploader: Annotated[str, typer.Option(help="who made the films in a folder")] = "",
    dry_run: DryRunOption = False,
    training_recipe: Annotated[
        str | None,
        typer.Option(
            "--for", help="with --dry-run: how many clips a training recipe (path, name) would use"
        ),
    ] = None,
    locked: LockedOption = False,
    allow_drift: AllowDriftOption = False,
    wait: Annotated[
        bool,
        typer.Option(
            "--wait/--no-wait", help="for batch jobs; or exit with 3 once they are submitted"
        ),
    ] = True,
) -> None:
    """Build a captioned dataset; run it again to go on where it stopped."""
    from brickfilm.cli.build import dry_run_build, lock_recipe, resolve_recipe, run_build

    recipe = resolve_recipe(footage, captions, sound=sound, licence=licence, uploader=uploader)
    if locked or allow_drift:
        recipe = lock_recipe(recipe, out, allow_drift=allow_drift)
    if dry_run:
        dry_run_build(recipe, out, training_recipe)
    elif training_recipe:
        raise UsageError("--for goes with --dry-run; of a built dataset ask `brickfilm export`")
    else:
        run_build(recipe, out, wait=wait)


@app.command()
def status(folder: Annotated[Path, typer.Argument(help="the --out folder of a build")]) -> None:
    """What became of every item, by stage, and what it cost."""
    from brickfilm.cli.status import status_tables

    for table in status_tables(folder):
        console.print(table)


def main() -> None:
    """The entry point: an error raised on purpose is one line; --debug shows where it came from."""
    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")
    try:
        app()
    except SystemExit as leave:
        if leave.code != EXIT_INTERRUPTED:
            raise
        sys.stdout.flush()
        os._exit(EXIT_INTERRUPTED)  # threads that wait for the network would hold a plain exit back
    except BrickfilmError as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, UsageError) else 1)
