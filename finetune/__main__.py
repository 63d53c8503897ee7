"""`python -m finetune RECIPE [key=value ...]`, and `python -m finetune plan RECIPE`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from finetune.config import load_recipe
from finetune.errors import in_one_line
from finetune.train import train as run_training

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)
RecipeName = Annotated[str, typer.Argument(help="a .toml file, or a name such as tiny/cpu")]
Overrides = Annotated[list[str] | None, typer.Argument(help="key=value, dots between tables")]


@app.command()
def train(
    recipe: RecipeName,
    overrides: Overrides = None,
    resume: Annotated[str | None, typer.Option(help="'auto', or a checkpoint's folder")] = None,
    new_data: Annotated[bool, typer.Option(help="the data changed: draw afresh")] = False,
) -> None:
    """Train one stage; the default command."""
    settings = load_recipe(recipe, overrides or ())
    for name, value in run_training(settings, resume=resume, new_data=new_data).items():
        typer.echo(f"{name}: {value}")


@app.command()
def plan(
    recipe: RecipeName,
    overrides: Overrides = None,
    gpu: Annotated[str, typer.Option(help="h100, h200, a100, ...")] = "h100",
    gpus: Annotated[int, typer.Option(help="how many")] = 1,
) -> None:
    """Print steps, clips, GPU-hours, memory and disk before anything starts."""
    from finetune.plan import plan as planned

    typer.echo(planned(load_recipe(recipe, overrides or ()), gpu=gpu, gpus=gpus))


def main(arguments: list[str] | None = None, run: Callable[..., None] = app) -> None:
    """The command line: one line and exit code 1 for what a user can mend."""
    given = sys.argv[1:] if arguments is None else arguments
    if given and given[0] not in ("train", "plan") and not given[0].startswith("-"):
        given = ["train", *given]
    with in_one_line():
        run(given)


if __name__ == "__main__":
    main()
