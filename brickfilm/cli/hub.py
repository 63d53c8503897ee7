"""Commands for a built dataset: push, remove, validate, materialize."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from brickfilm.cli.app import DatasetArgument, FolderArgument, app, console, print_text
from brickfilm.errors import UsageError
from brickfilm.schema.licences import LicenceError
from brickfilm.schema.plural import pluralize
from brickfilm.schema.public_text import visible

if TYPE_CHECKING:
    from brickfilm.dataset.validate import ValidationReport
    from brickfilm.hub.publish import PushOptions, PushResult

MAX_FILES_LISTED = 40


@app.command()
def push(
    folder: FolderArgument,
    repo: Annotated[str, typer.Argument(help="repository on the Hub, user/name")],
    media: Annotated[
        str, typer.Option(help="embed (in the tables), files (beside them) or none (references)")
    ] = "embed",
    private: Annotated[
        bool | None, typer.Option("--private/--public", help="visibility of the repository")
    ] = None,
    gated: Annotated[
        str | None, typer.Option(help="access requests: auto or manual approval, or no gate")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="branch; created if it is missing")] = None,
    shard_mb: Annotated[int, typer.Option(min=1, help="size of a parquet file, in MB")] = 500,
    i_have_the_rights: Annotated[
        bool, typer.Option("--i-have-the-rights", help="publish media without an open licence")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="show files, sizes and the card; send nothing")
    ] = False,
) -> None:
    """Publish a dataset on the Hub. Run it again after a broken upload."""
    from brickfilm.hub.publish import PushOptions, plan_push, push_to_hub

    options = PushOptions(
        repo_id=repo,
        media=media,  # type: ignore[arg-type]  # PushOptions checks the value
        private=private,
        gated=False if gated == "no" else gated,  # type: ignore[arg-type]
        revision=revision,
        shard_bytes=shard_mb << 20,
        i_have_the_rights=i_have_the_rights,
    )
    if dry_run:
        _print_push_plan(plan_push(folder, options), options)
    else:
        _print_push_result(push_to_hub(folder, options))


@app.command()
def remove(
    where: DatasetArgument,
    source: Annotated[str | None, typer.Option(help="a source_id or source_url")] = None,
    clip: Annotated[str | None, typer.Option(help="a clip's id")] = None,
    uploader: Annotated[str | None, typer.Option(help="an uploader's name")] = None,
    forget_history: Annotated[
        bool,
        typer.Option("--forget-history", help="delete older versions on the Hub too, permanently"),
    ] = False,
    only_here: Annotated[
        bool, typer.Option("--only-here", help="change the work folder only, no repository")
    ] = False,
) -> None:
    """Remove clips permanently, here and where they were published; print a reply to send."""
    from brickfilm.hub.removal import PartialRemovalError, RemovalRequest, remove

    options = {"source": source, "clip": clip, "uploader": uploader}
    given = [(kind, name) for kind, name in options.items() if name]
    if len(given) != 1:
        raise UsageError("name one of --source, --clip and --uploader to remove")
    request = RemovalRequest(*given[0])  # type: ignore[arg-type]
    try:
        report = remove(where, request, forget_history=forget_history, include_hub=not only_here)
    except PartialRemovalError as error:
        if error.report.actions:
            print_text(error.report.reply_text())
        raise
    print_text(report.reply_text())
    for step in report.next_steps:
        typer.echo(visible(f"note: {step}"), err=True)


@app.command()
def validate(
    where: DatasetArgument,
    workers: Annotated[int | None, typer.Option(min=1, help="number of decoding processes")] = None,
) -> None:
    """Decode every row and check it against its columns; exit with 1 if there is a problem."""
    from brickfilm.dataset.reader import find_dataset
    from brickfilm.dataset.validate import validate

    report = validate(find_dataset(where), workers=workers)
    console.print(validation_table(report))
    raise typer.Exit(0 if report.is_valid else 1)


@app.command()
def materialize(
    where: DatasetArgument,
    out: Annotated[Path, typer.Option("--out", help="folder for source videos and clips")],
    sources: Annotated[Path | None, typer.Option(help="a folder of local source videos")] = None,
    recipe: Annotated[
        Path | None, typer.Option(help="a dataset recipe .py whose source downloads the videos")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="a branch, tag or commit")] = None,
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="download from addresses of this network too")
    ] = False,
) -> None:
    """Cut the clips of a reference dataset from their sources; exit with 1 if some differ."""
    from brickfilm.build.recipe import load_recipe
    from brickfilm.dataset.reader import find_dataset
    from brickfilm.hub.materialize import materialize

    downloads = load_recipe(recipe).source if recipe else None
    dataset = find_dataset(where, revision=revision)
    result = materialize(
        dataset, out, sources=sources, downloads=downloads, allow_private=allow_private
    )
    table = Table("verdict", "rows", title=f"clips and stills of {where}")
    for status, count in result.counts.items():
        table.add_row(status, str(count))
    console.print(table)
    console.print(f"row by row: {result.table}\ndataset:    {result.dataset}", soft_wrap=True)
    raise typer.Exit(0 if result.all_match else 1)


def validation_table(report: ValidationReport) -> Table:
    """Return the problems with their number of rows and some ids, and the speed of the check."""
    speed = f"{pluralize(report.rows, 'row')} in {report.seconds:.1f} s"
    speed += f", {report.rows_per_second:.0f} rows/s"
    if report.reference_rows:
        speed += f"; {report.reference_rows} of them references, with nothing to decode"
    table = Table("problem", "rows", "examples", title=speed)
    for problem, count in report.problems.most_common():
        table.add_row(problem, str(count), ", ".join(report.examples[problem]))
    if report.is_valid:
        table.add_row("none: all checks passed", "", "")
    return table


def _print_push_plan(plan: PushResult, options: PushOptions) -> None:
    """Print files and card of a dry run; raise LicenceError if the push would."""
    table = Table("file", "rows", "bytes", title=f"files to push to {plan.url}")
    for file in plan.files[:MAX_FILES_LISTED]:
        table.add_row(file.name, str(file.rows or ""), f"{file.bytes:,}")
    if len(plan.files) > MAX_FILES_LISTED:
        table.add_row(f"... and {len(plan.files) - MAX_FILES_LISTED} more", "", "")
    table.add_row(pluralize(len(plan.files), "file"), "", f"{plan.bytes:,}", style="bold")
    console.print(table)
    print_text(f"{', '.join(_describe_target(options))}; the card is:\n\n{plan.card.text}")
    if plan.licence_error:
        raise LicenceError(f"the push would be refused: {plan.licence_error}")


def _describe_target(options: PushOptions) -> Iterator[str]:
    """Yield branch, visibility and gate of a push."""
    visibility = {True: "private", False: "public", None: "public if new, else unchanged"}
    yield f"branch {options.target_revision}"
    yield visibility[options.private]
    if options.gated is not None:
        yield f"gate {options.gated or 'none'}"


def _print_push_result(result: PushResult) -> None:
    revision = f', revision="{result.revision}"' if result.revision else ""
    console.print(
        f"pushed {pluralize(len(result.files), 'file')}, {result.bytes:,} bytes, to {result.url} "
        f'(commit {result.commit})\nload_dataset("{result.repo_id}"{revision})',
        highlight=False,
        soft_wrap=True,
    )
