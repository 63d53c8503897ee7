"""The commands for captions: check them, show what is asked, take batch jobs back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

caption_commands = typer.Typer()
prompt_commands = typer.Typer(
    help="The words that go to the captioning model.", no_args_is_help=True
)
caption_commands.add_typer(prompt_commands, name="prompt")


@caption_commands.command()
def lint(
    file: Annotated[Path, typer.Argument(help=".csv, .jsonl, .parquet or .txt, a caption a row")],
    column: Annotated[
        str | None, typer.Option(help="where the captions are; 'caption' or 'text' is found")
    ] = None,
    prompt: Annotated[
        str, typer.Option(help="whose rules: a prompt's name or Markdown file")
    ] = "bricks",
    as_json: Annotated[bool, typer.Option("--json", help="findings as JSON")] = False,
) -> None:
    """Check captions of any origin by a prompt's rules; exit code 1 if there are findings."""
    from brickfilm.cli.captions import lint_file

    raise typer.Exit(lint_file(file, column=column, prompt=prompt, as_json=as_json))


@prompt_commands.command("show")
def show_prompt(
    prompt: Annotated[str, typer.Argument(help="a prompt's name, or a Markdown file")] = "bricks",
    images: Annotated[bool, typer.Option("--images", help="the one for single images")] = False,
    at: Annotated[str, typer.Option(help="the sampler's positions")] = "0.2,0.5,0.8",
) -> None:
    """Print exactly what is sent with the stills."""
    from brickfilm.cli.captions import prompt_text

    typer.echo(prompt_text(prompt, images=images, at=at))


@caption_commands.command()
def cancel(
    footage: Annotated[Path, typer.Argument(help="the film, folder or recipe of the build")],
    out: Annotated[Path, typer.Option("--out", help="its work folder")],
) -> None:
    """End the open batch jobs of a build; what they answered until then is kept."""
    from brickfilm.build.build_dataset import cancel_jobs
    from brickfilm.cli.build import resolve_recipe

    recipe = resolve_recipe(footage, "gpt-4o")
    cancel_jobs(recipe.source, recipe.stages, workdir=out)
