"""What the commands of `cli_hub` print."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.table import Table

from brickfilm.errors import UsageError
from brickfilm.schema.licences import LicenceError

if TYPE_CHECKING:
    from brickfilm.dataset.reader import SavedDataset
    from brickfilm.dataset.validate import ValidationReport
    from brickfilm.engine.pipeline import Pipeline
    from brickfilm.engine.run import PipelineRun
    from brickfilm.export.bucket_coverage import ClipShape, TrainingRecipe
    from brickfilm.hub.publish import PushOptions, PushResult
    from brickfilm.hub.removal import RemovalRequest

console = Console()
MAX_FILES_LISTED = 40
"""Files that a table lists one by one; of more it tells the sum."""


def print_push_plan(plan: PushResult, options: PushOptions) -> None:
    """The files of a push that did not happen, and the card; then raises what would stop it."""
    table = Table("file", "rows", "bytes", title=f"would go to {plan.url}")
    for file in plan.files[:MAX_FILES_LISTED]:
        table.add_row(file.name, str(file.rows or ""), f"{file.bytes:,}")
    if len(plan.files) > MAX_FILES_LISTED:
        table.add_row(f"... and {len(plan.files) - MAX_FILES_LISTED} more", "", "")
    table.add_row(f"{len(plan.files)} files", "", f"{plan.bytes:,}", style="bold")
    console.print(table)
    typer.echo(f"{', '.join(_visibility(options))}; the card is:\n\n{plan.card.text}")
    if plan.licence_error:
        raise LicenceError(f"the push itself would be refused: {plan.licence_error}")


def _visibility(options: PushOptions) -> Iterator[str]:
    """Who will see it, and where."""
    seen = {True: "private", False: "public", None: "public if it is new, else as it is"}
    yield f"branch {options.target_revision}"
    yield seen[options.private]
    if options.gated is not None:
        yield f"gate {options.gated or 'none'}"


def print_push_result(done: PushResult) -> None:
    console.print(
        f"{len(done.files)} files, {done.bytes:,} bytes, are at {done.url} (commit {done.commit})\n"
        f"load_dataset({', '.join(_load_dataset_arguments(done))})",
        highlight=False,
        soft_wrap=True,
    )


def _load_dataset_arguments(done: PushResult) -> Iterator[str]:
    yield f'"{done.repo_id}"'
    if done.revision:
        yield f'revision="{done.revision}"'


def run_remove(
    where: str, request: RemovalRequest, *, forget_history: bool, include_hub: bool
) -> None:
    """Remove, print the letter to send, and on stderr what is left to do."""
    from brickfilm.hub.removal import PartialRemovalError, remove

    try:
        done = remove(where, request, forget_history=forget_history, include_hub=include_hub)
    except PartialRemovalError as error:
        if error.removal.actions:
            typer.echo(error.removal.reply_text())
        raise
    typer.echo(done.reply_text())
    for advice in done.next_steps:
        typer.echo(f"note: {advice}", err=True)


def validation_table(verdict: ValidationReport) -> Table:
    """Complaints with some ids, or the good news; how many rows a second."""
    speed = f"{verdict.rows} rows in {verdict.seconds:.1f} s, {verdict.rows_per_second:.0f} rows/s"
    if verdict.reference_rows:
        speed += f"; {verdict.reference_rows} of them references, with nothing to decode"
    table = Table("complaint", "rows", "for example", title=speed)
    for what, count in verdict.problems.most_common():
        table.add_row(what, str(count), ", ".join(verdict.examples[what]))
    if verdict.is_valid:
        table.add_row("none: everything is as promised", "", "")
    return table


def run_export(dataset: SavedDataset, to: str, out: Path | None) -> None:
    """Write the dataset in a format, and say where."""
    from brickfilm.export import FORMATS

    if to not in FORMATS:
        raise UsageError(f"--to {to!r} is not known: {', '.join(FORMATS)}")
    if out is None:
        raise UsageError(f"--to {to} needs --out FOLDER")
    done = FORMATS[to](dataset, out)
    console.print(
        f"{done.clips} clips and {done.images} images are in {done.index_path}", soft_wrap=True
    )
    if done.without_caption:
        console.print(f"{done.without_caption} rows without a caption were left out")


def coverage_table(dataset: SavedDataset, recipe: TrainingRecipe) -> Table:
    """How much of a built dataset a training recipe would use."""
    from brickfilm.export.bucket_coverage import ClipShape

    shape = ["height", "width"]
    columns = {"clips": ["num_frames", *shape], "images": shape}
    frames = {config: dataset.to_pandas(config, columns[config]) for config in dataset.configs}
    sizes = [
        ClipShape(int(row.get("num_frames", 1)), row["height"], row["width"])
        for frame in frames.values()
        for row in frame.to_dict("records")
    ]
    return _coverage_table(recipe, sizes)


def planned_coverage_table(pipeline: Pipeline, run: PipelineRun, recipe: TrainingRecipe) -> Table:
    """The same after a scan, before anything is written or paid for."""
    return _coverage_table(recipe, list(_planned_sizes(pipeline, run)))


def _planned_sizes(pipeline: Pipeline, run: PipelineRun) -> Iterator[ClipShape]:
    """Clips that came through or wait for a stage that a dry run does not ask, and their images."""
    from brickfilm.export.bucket_coverage import ClipShape
    from brickfilm.records import Clip
    from brickfilm.stages import ClipWriter, FrameSampler

    waiting = [item for items in run.pending_items.values() for item in items]
    clips = {item.id: item for item in [*run.finished, *waiting] if isinstance(item, Clip)}
    limits = [
        s.max_height for s in pipeline.original_stages if isinstance(s, ClipWriter) and s.max_height
    ]
    samplers = [s for s in pipeline.original_stages if isinstance(s, FrameSampler)]
    for clip in clips.values():
        width, height = clip.width or clip.video.width, clip.height or clip.video.height
        scale = min([1.0, *(limit / height for limit in limits)])
        yield ClipShape(clip.span.frames, round(height * scale), round(width * scale))
        if any(sampler.images for sampler in samplers):
            yield ClipShape(1, height, width)


def _coverage_table(recipe: TrainingRecipe, sizes: list[ClipShape]) -> Table:
    from brickfilm.export.bucket_coverage import RecipeCoverage

    survival = RecipeCoverage.from_sizes(recipe, sizes)
    title = f"{survival.total} clips and images for {recipe.name}"
    table = Table("bucket", "takes, or why not", "number", "share", title=title)
    for where, what, count, share in survival.to_rows():
        table.add_row(where, what, str(count), f"{share:.1%}")
    return table


def run_materialize(where: str, out: Path, sources: Path | None, revision: str | None) -> None:
    """Cut clips again, say what became of each row, exit 1 if any is not what it was."""
    from brickfilm.dataset.reader import find_dataset
    from brickfilm.hub.materialize import materialize

    done = materialize(find_dataset(where, revision=revision), out, sources=sources)
    table = Table("verdict", "rows", title=f"clips and stills of {where}")
    for verdict, count in done.counts.items():
        table.add_row(verdict, str(count))
    console.print(table)
    console.print(f"row by row: {done.table}\ndataset:    {done.dataset}", soft_wrap=True)
    raise typer.Exit(0 if done.all_match else 1)
