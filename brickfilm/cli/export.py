"""`brickfilm export`: write a dataset for a trainer, or say what trainers would use of it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from brickfilm.cli.app import DatasetArgument, app, console, print_text
from brickfilm.errors import UsageError
from brickfilm.schema.plural import pluralize

if TYPE_CHECKING:
    from brickfilm.dataset.reader import SavedDataset
    from brickfilm.export import ExportPlan, ExportSettings
    from brickfilm.export.prediction import ExportForecast
    from brickfilm.schema.training_recipe import ClipShape, TrainingRecipe

ALL = "all"


@app.command()
def export(
    where: DatasetArgument,
    to: Annotated[
        str | None, typer.Option(help="a trainer, or 'all' with --dry-run to compare them")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="folder to write into")] = None,
    model: Annotated[
        str | None, typer.Option(help="the model to train; default: the trainer's first")
    ] = None,
    frames: Annotated[
        int | None, typer.Option(min=1, help="cut clips to this length, on the model's grid")
    ] = None,
    fps: Annotated[
        str | None,
        typer.Option(help="resample clips in time, or 'drawings': each drawing once"),
    ] = None,
    size: Annotated[str | None, typer.Option(help="crop and scale clips down to WxH")] = None,
    crop: Annotated[
        str | None, typer.Option(help="letterbox (black bars), an aspect W:H, or a box x,y,w,h")
    ] = None,
    split: Annotated[str | None, typer.Option(help="export one split only, as train")] = None,
    recipe: Annotated[
        str | None,
        typer.Option("--for", help="count the clips that a training recipe (path, name) would use"),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="say what the trainer will use; write nothing")
    ] = False,
) -> None:
    """Write a dataset in a trainer's format, or count the clips that a recipe would use.

    Before it writes, it says what the trainer will use of the clips, and what it will drop.
    """
    from brickfilm.dataset.reader import find_dataset
    from brickfilm.dataset.required_columns import require_columns, require_rows
    from brickfilm.export.bucket_coverage import dataset_clip_shapes
    from brickfilm.schema.training_recipe import TrainingRecipe

    if not (to or recipe):
        raise UsageError("name a target: --to FORMAT, --for RECIPE, or both")
    if to and out is None and not dry_run:
        raise UsageError(f"--to {to} needs --out FOLDER, or --dry-run")
    training = TrainingRecipe.from_name(recipe) if recipe else None
    settings = _settings(fps, size, crop, split, cut_frames=frames is not None)
    dataset = find_dataset(where)
    require_columns(dataset)
    require_rows(dataset)
    if training:
        console.print(coverage_table(training, dataset_clip_shapes(dataset)))
    if to == ALL:
        _compare(dataset, settings, dry_run)
    elif to:
        _export(dataset, to, model, frames, settings, None if dry_run else out)


def coverage_table(recipe: TrainingRecipe, shapes: Iterable[ClipShape | str]) -> Table:
    """Return the number of clips for each bucket of a training recipe, and the unused ones."""
    from brickfilm.export.bucket_coverage import RecipeCoverage

    coverage = RecipeCoverage.from_sizes(recipe, shapes)
    title = f"{coverage.total} clips and images for {recipe.name}"
    table = Table("bucket", "requirement or reason", "number", "fraction", title=title)
    for bucket, text, count, fraction in coverage.to_rows():
        table.add_row(bucket, text, str(count), f"{fraction:.1%}")
    return table


def forecast_table(forecast: ExportForecast, title: str) -> Table:
    """Return the number of clips by frames, speed and size as the trainer sees them."""
    table = Table("clips", "frames read", "speed", "size", title=title)
    for group, clips in sorted(forecast.groups.items()):
        size = f"{group.width}x{group.height}"
        table.add_row(str(clips), str(group.frames), f"{group.speed:g}", size)
    for reason, count in forecast.dropped.most_common():
        table.add_row(str(count), "dropped", "", reason)
    return table


def _settings(
    fps: str | None, size: str | None, crop: str | None, split: str | None, *, cut_frames: bool
) -> ExportSettings:
    from brickfilm.export import ExportSettings, RecutSettings
    from brickfilm.export.recut import parse_crop, parse_fps, parse_size

    recut = RecutSettings(
        fps=parse_fps(fps) if fps else None,
        size=parse_size(size) if size else None,
        crop=parse_crop(crop) if crop else None,
    )
    return ExportSettings(recut=recut, cut_frames=cut_frames, split=split)


def _export(
    dataset: SavedDataset,
    to: str,
    model: str | None,
    frames: int | None,
    settings: ExportSettings,
    out: Path | None,
) -> None:
    """Say what the trainer will use, and write it unless `out` is None.

    Raise NothingToExport if the trainer would use nothing, in a dry run as well.
    """
    from brickfilm.export import make_exporter, plan_export

    exporter = make_exporter(to, model, frames=frames, size=settings.recut.size)
    plan = plan_export(dataset, exporter, settings)
    _print_forecast(plan)
    plan.require_rows()
    if out:
        result = plan.write(out)
        console.print(
            f"{pluralize(result.clips, 'clip')} and {pluralize(result.images, 'image')}: "
            f"{result.index_path}",
            soft_wrap=True,
        )


def _print_forecast(plan: ExportPlan) -> None:
    from brickfilm.export.advice import advise

    name = plan.exporter.name
    title = f"{name}, {plan.exporter.target.model.name}"
    console.print(forecast_table(plan.forecast, title))
    for line in (*plan.forecast.lines(), *advise(plan)):
        print_text(f"{name} {line}")
    held_out = sum(row.split == "test" for row, _ in plan.used)
    if held_out:
        console.print(f"{held_out} of these rows are of the split 'test': --split train omits them")
    if plan.without_caption:
        left_out = pluralize(plan.without_caption, "row")
        console.print(f"{left_out} without a caption left out")


def _compare(dataset: SavedDataset, settings: ExportSettings, dry_run: bool) -> None:
    """Print a Markdown table of what each trainer would use."""
    from brickfilm.export.comparison import comparison_table

    if not dry_run:
        raise UsageError("--to all compares the trainers and writes nothing: add --dry-run")
    print_text(comparison_table(dataset, settings))
