"""Train, cache, sample and publish text-to-video models.

torchrun --nproc_per_node 8 -m finetune train RECIPE trains on several GPUs.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from brickfilm.schema.public_text import show_control_characters_of_logs, visible
from brickfilm.schema.stop_signals import interrupt_on_stop_signals
from finetune.errors import ConfigError, exit_with_one_line


class CommandGroup(TyperGroup):
    """The commands; a recipe in the place of one is an error that shows the right command."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and self.get_command(ctx, args[0]) is None:
            ctx.fail(
                f"no command {args[0]!r}: choose one of {', '.join(self.list_commands(ctx))}; to "
                f"train a recipe: finetune train {' '.join(args)}"
            )
        return super().resolve_command(ctx, args)


app = typer.Typer(
    name="finetune",
    cls=CommandGroup,
    add_completion=False,
    no_args_is_help=True,
    help=__doc__,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
RecipeName = Annotated[str, typer.Argument(help="a .toml file, or a name such as tiny/cpu")]
Overrides = Annotated[list[str] | None, typer.Argument(help="key=value, dots between tables")]
ModelName = Annotated[str | None, typer.Option(help="release, run, checkpoint or Hub id")]
Weights = Annotated[
    str | None, typer.Option(help="ema or raw, of a run; default: its EMA, if it has one")
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda")]


def print_text(text: str, *, err: bool = False) -> None:
    """Print text whose names and captions may be anybody's."""
    typer.echo(visible(text), err=err)


def check_import_name() -> None:
    """Raise ConfigError if the package index's `finetune`, another project, is installed too."""
    try:
        other = distribution("finetune")
    except PackageNotFoundError:
        return
    raise ConfigError(
        f"the package finetune {other.version} in {other.locate_file('')} is another project with "
        "the same import name: pip uninstall finetune, then pip install --force-reinstall "
        "--no-deps brickfilm"
    )


def main(arguments: list[str] | None = None) -> None:
    """Run a command. Exit codes: 0 done, 1 an error that the user can fix, 2 wrong usage.

    SIGTERM and SIGHUP are handled as Ctrl-C: exit code 130.
    """
    show_control_characters_of_logs()
    interrupt_on_stop_signals()
    with exit_with_one_line():
        check_import_name()
        app(arguments)
