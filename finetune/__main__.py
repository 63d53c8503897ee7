"""`python -m finetune RECIPE [key=value ...]`, and `python -m finetune plan RECIPE`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

import typer

from finetune.config import load_recipe
from finetune.errors import in_one_line

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__, rich_markup_mode=None)
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
    from finetune.training.loop import train as run_training  # takes seconds to import

    settings = load_recipe(recipe, overrides or ())
    summary = run_training(settings, resume=resume, new_data=new_data)
    if os.environ.get("RANK", "0") == "0":
        typer.echo("\n".join(summary_lines(summary)))


def summary_lines(summary: Mapping[str, Any]) -> Iterator[str]:
    """A run's summary to read: its figures, then hours by stage beside the published ones."""
    stages: Mapping[str, Mapping[str, float]] = summary.get("stages", {})
    for name, value in summary.items():
        if name != "stages":
            yield f"{name.replace('_', ' '):<14} {value}"
    for stage, hours in stages.items():
        yield f"{stage}: {hours['gpu_hours']:g} GPU-hours, {hours['published']:g} published"


@app.command()
def plan(
    recipe: RecipeName,
    overrides: Overrides = None,
    gpu: Annotated[
        str | None,
        typer.Option(help="h200, h100, a100-80, a100-40, l40s, 4090, or cpu: this machine's"),
    ] = None,
    gpus: Annotated[int, typer.Option(min=1, help="how many")] = 1,
) -> None:
    """Print steps, clips, GPU-hours, memory and disk before anything starts."""
    from finetune.planning.plan import plan as planned

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
