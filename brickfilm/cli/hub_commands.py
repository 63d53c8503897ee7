"""The commands for a dataset that is built: publish, take back, check, export, cut again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from brickfilm.errors import UsageError

hub_commands = typer.Typer()

FolderArgument = Annotated[
    Path, typer.Argument(help="the --out folder of a build, or a saved dataset")
]
DatasetArgument = Annotated[
    str, typer.Argument(help="a folder, or a repository user/name on the Hub")
]
TrainingRecipeOption = Annotated[
    str | None,
    typer.Option("--for", help="a training recipe, by path or name: how many clips it would use"),
]


@hub_commands.command()
def push(
    folder: FolderArgument,
    repo: Annotated[str, typer.Argument(help="where to: user/name")],
    media: Annotated[
        str, typer.Option(help="embed (in the tables), files (beside them) or none (references)")
    ] = "embed",
    private: Annotated[
        bool | None, typer.Option("--private/--public", help="who sees the repository")
    ] = None,
    gated: Annotated[
        str | None, typer.Option(help="auto or manual: ask who downloads; no: do not")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="a branch; made if it is missing")] = None,
    shard_mb: Annotated[int, typer.Option(min=1, help="size of a parquet file, in MB")] = 500,
    i_have_the_rights: Annotated[
        bool, typer.Option("--i-have-the-rights", help="publish pictures without an open licence")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="show files, sizes and the card; send nothing")
    ] = False,
) -> None:
    """Publish a dataset on the Hub; run it again after a broken upload."""
    from brickfilm.cli.hub import print_push_plan, print_push_result
    from brickfilm.hub.publish import PushOptions, plan_push, push_to_hub

    options = PushOptions(
        repo_id=repo,
        media=media,  # type: ignore[arg-type]  # Push itself checks the words
        private=private,
        gated=False if gated == "no" else gated,  # type: ignore[arg-type]
        revision=revision,
        shard_bytes=shard_mb << 20,
        i_have_the_rights=i_have_the_rights,
    )
    if dry_run:
        print_push_plan(plan_push(folder, options), options)
    else:
        print_push_result(push_to_hub(folder, options))


@hub_commands.command()
def remove(
    where: DatasetArgument,
    source: Annotated[str | None, typer.Option(help="a source_id or source_url")] = None,
    clip: Annotated[str | None, typer.Option(help="a clip's id")] = None,
    uploader: Annotated[str | None, typer.Option(help="an uploader's name")] = None,
    forget_history: Annotated[
        bool,
        typer.Option("--forget-history", help="destroy older versions on the Hub too, for ever"),
    ] = False,
    only_here: Annotated[
        bool, typer.Option("--only-here", help="leave repositories that were pushed to alone")
    ] = False,
) -> None:
    """Take clips out for good, here and where they were published; prints a reply to who asked."""
    from brickfilm.cli.hub import run_remove
    from brickfilm.hub.removal import RemovalRequest

    asked = {"source": source, "clip": clip, "uploader": uploader}
    given = [(kind, name) for kind, name in asked.items() if name]
    if len(given) != 1:
        raise UsageError("say what to remove: one of --source, --clip and --uploader")
    kind, name = given[0]
    request = RemovalRequest(kind, name)  # type: ignore[arg-type]
    run_remove(where, request, forget_history=forget_history, include_hub=not only_here)


@hub_commands.command()
def validate(
    where: DatasetArgument,
    workers: Annotated[int | None, typer.Option(min=1, help="processes that decode")] = None,
) -> None:
    """Decode every row and check every promise; exit code 1 if one is broken."""
    from brickfilm.cli.hub import console, validation_table
    from brickfilm.dataset.reader import find_dataset
    from brickfilm.dataset.validate import validate

    report = validate(find_dataset(where), workers=workers)
    console.print(validation_table(report))
    raise typer.Exit(0 if report.is_valid else 1)


@hub_commands.command()
def export(
    where: DatasetArgument,
    to: Annotated[str | None, typer.Option(help="a trainer's format: opensora")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="folder to write into")] = None,
    recipe: TrainingRecipeOption = None,
) -> None:
    """Write a dataset in a trainer's format, or say what a training recipe would use of it."""
    from brickfilm.cli.hub import console, coverage_table, run_export
    from brickfilm.dataset.reader import find_dataset
    from brickfilm.dataset.required_columns import require_columns, require_rows
    from brickfilm.export.bucket_coverage import TrainingRecipe

    if not (to or recipe):
        raise UsageError("say what for: --to FORMAT, --for RECIPE, or both")
    training = TrainingRecipe.from_name(recipe) if recipe else None
    dataset = find_dataset(where)
    require_columns(dataset)
    require_rows(dataset)
    if training:
        console.print(coverage_table(dataset, training))
    if to:
        run_export(dataset, to, out)


@hub_commands.command()
def materialize(
    where: DatasetArgument,
    out: Annotated[Path, typer.Option("--out", help="folder for sources and clips")],
    sources: Annotated[
        Path | None, typer.Option(help="a folder of films that are here already")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="a branch, tag or commit")] = None,
) -> None:
    """Cut the clips of a dataset of references from their sources; exit code 1 if some differ."""
    from brickfilm.cli.hub import run_materialize

    run_materialize(where, out, sources, revision)
