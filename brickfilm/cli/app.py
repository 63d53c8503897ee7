"""The command line application, the options that commands share, and its entry point.

Exit codes: 0 done, 1 some items failed, 2 wrong usage, 3 some items wait, 130 interrupted.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from brickfilm.errors import BrickfilmError, UsageError
from brickfilm.schema.public_text import show_control_characters_of_logs, visible
from brickfilm.schema.stop_signals import interrupt_on_stop_signals
from brickfilm.schema.system_limits import remedy_of_limit

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)


class PlainConsole(Console):
    """Prints text and cells of tables as they are: titles and paths may look like markup.

    Their control characters, which a terminal would obey, are shown.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(visible(text), **options)


console = PlainConsole()

EXIT_INTERRUPTED = 130

OutOption = Annotated[Path, typer.Option("--out", help="work folder: dataset, report, ledger")]
FolderArgument = Annotated[
    Path, typer.Argument(help="work folder of a build, or folder of a saved dataset")
]
DatasetArgument = Annotated[
    str, typer.Argument(help="a folder, or a repository user/name on the Hub")
]


def print_text(text: str) -> None:
    """Print text of any length without breaking its lines."""
    console.print(text, highlight=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """Print a value as indented JSON."""
    print(visible(json.dumps(value, ensure_ascii=False, indent=2, default=str)))


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
    debug: Annotated[bool, typer.Option("--debug", help="show the traceback of an error")] = False,
) -> None:
    """Turn footage into a captioned Hugging Face dataset."""


def main() -> None:
    """Run the command line. Print an expected error as one line; with --debug, as a traceback.

    SIGTERM and SIGHUP are handled as Ctrl-C.
    """
    show_control_characters_of_logs()
    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")
    interrupt_on_stop_signals()
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except SystemExit as leave:
        if leave.code != EXIT_INTERRUPTED:
            raise
        os._exit(EXIT_INTERRUPTED)  # a plain exit would wait for threads that wait for the network
    except BrickfilmError as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except OSError as error:
        remedy = remedy_of_limit(error)
        if debug or not remedy:
            raise
        print(f"error: {error.strerror}: {remedy}", file=sys.stderr)
        os._exit(1)  # a plain exit would flush the output once more
