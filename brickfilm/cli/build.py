"""`brickfilm build`, `brickfilm cancel`: build a dataset, or end its open batch jobs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import typer

from brickfilm.cli import build_options as options
from brickfilm.cli.app import OutOption, app, console, print_text
from brickfilm.errors import Interrupted, UsageError

if TYPE_CHECKING:
    from brickfilm.build.build_dataset import BuildResult
    from brickfilm.build.recipe import DatasetRecipe
    from brickfilm.engine.build_shard import BuildShard
    from brickfilm.engine.executors import Executor
    from brickfilm.engine.ledger import ItemResult
    from brickfilm.engine.pipeline import Source

MAX_FAILURES_PRINTED = 10


@app.command()
def build(
    footage: options.Footage,
    out: OutOption,
    licence: options.Licence = "",
    uploader: options.Uploader = "",
    hdr: options.Hdr = "reject",
    deinterlace: options.Deinterlace = "auto",
    max_pixels: options.MaxPixels = None,
    fps: options.FrameRate = None,
    column: options.Column = None,
    split: options.Split = None,
    config: options.Config = None,
    revision: options.Revision = None,
    allow_private: options.AllowPrivate = False,
    keep_sources: options.KeepSources = True,
    locked: options.Locked = False,
    allow_drift: options.AllowDrift = False,
    dry_run: options.DryRun = False,
    training: options.Training = None,
    detector: options.Detector = None,
    measures: options.Measures = None,
    embed: options.Embed = None,
    aesthetic: options.Aesthetic = None,
    keep: options.KeepIf = None,
    keep_all: options.KeepAll = False,
    duplicates: options.Duplicates = None,
    sound: options.Sound = False,
    copy: options.Copy = False,
    captions: options.Captions = None,
    base_url: options.BaseUrl = None,
    prompt: options.PromptName = None,
    max_cost_usd: options.MaxCost = None,
    max_tokens_total: options.MaxTokens = None,
    price_per_million: options.Price = None,
    json_mode: options.CaptionsJsonMode = None,
    structured: options.Structured = None,
    video: options.Video = None,
    wait: options.Wait = True,
    shard: options.ShardOf = None,
    take_over: options.TakeOver = False,
    replace: options.Replace = False,
    ray: options.Ray = None,
) -> None:
    """Build a captioned dataset. Run it again to continue or to apply new settings."""
    given = dict(locals())  # the options by name, which the settings share
    from brickfilm.engine.build_shard import BuildShard

    part = BuildShard.parse(shard) if shard else None
    folder = part.folder(out) if part else out
    if take_over and not part:
        raise UsageError("--take-over is for a shard: give --shard i/n too")
    recipe = recipe_of(given, folder if (folder / "plan.json").is_file() else out)
    own = checked_recipe(recipe, part, out, replace=replace or dry_run)
    if dry_run:
        dry_run_build(own, folder, training)
        return
    builder = builder_of(part, out, wait=wait, take_over=take_over)
    with executor_at(ray) as executor:
        run_builder(partial(builder, executor=executor), recipe, folder, training)


def builder_of(
    part: BuildShard | None, out: Path, *, wait: bool, take_over: bool
) -> Callable[..., BuildResult]:
    """Return the function that builds all, or one shard."""
    from brickfilm.build.build_dataset import build as build_whole
    from brickfilm.build.shards import build_shard

    if not part:
        return partial(build_whole, workdir=out, wait=wait)
    return partial(build_shard, shard=part, workdir=out, wait=wait, take_over=take_over)


def checked_recipe(
    recipe: DatasetRecipe, part: BuildShard | None, out: Path, *, replace: bool
) -> DatasetRecipe:
    """Return the recipe of a shard's share, or of all, after `check_replaced`."""
    from brickfilm.build.shards import shard_recipe

    own, folder = (shard_recipe(recipe, part, out), part.folder(out)) if part else (recipe, out)
    if (folder / "plan.json").is_file():
        check_replaced(own.source, folder, replace=replace)
    else:  # a shard begins with the answers of OUT
        check_replaced(recipe.source, out, replace=replace)
    return own


def check_replaced(source: Source, out: Path, *, replace: bool) -> None:
    """Print which videos of OUT's dataset the footage does not have.

    Raise UsageError for any without `replace`.
    """
    from brickfilm.build.replaced_footage import replaced_footage

    if not (gone := replaced_footage(source, out)):
        return
    found = f"the dataset in {str(out)!r} has what this footage does not: {gone}"
    if not replace:
        raise UsageError(
            f"{found}. Give --replace to take them out of the dataset (stored answers are kept), "
            "or name another --out"
        )
    print_text(f"{found}. A build with --replace takes them out of the dataset")


@contextmanager
def executor_at(address: str | None) -> Iterator[Executor | None]:
    """Yield an executor on a Ray cluster, closed at the end; None for this machine."""
    if address is None:
        yield None
        return
    from brickfilm.engine.executors import RayExecutor

    executor, now = RayExecutor(address), False
    try:
        yield executor
    except KeyboardInterrupt:
        now = True
        raise
    finally:
        executor.close(now=now)


def recipe_of(given: Mapping[str, Any], last: Path) -> DatasetRecipe:
    """Return the recipe that options name; last: the folder whose last settings are the default."""
    from brickfilm.build.caption_options import CaptionOptions
    from brickfilm.build.keep_options import with_keeps
    from brickfilm.build.recipe import resolve_recipe
    from brickfilm.build.score_options import with_scorers
    from brickfilm.export.training_target import training_lengths

    recipe = resolve_recipe(
        given["footage"],
        CaptionOptions(**{option.name: given[option.name] for option in fields(CaptionOptions)}),
        out=last,
        sound=given["sound"],
        copy=given["copy"],
        columns=options.columns_of(given["column"]),
        **{name: given[name] for name in options.OF_SOURCES},
    )
    if given["locked"] or given["allow_drift"]:
        recipe = recipe.locked(given["out"], allow_drift=given["allow_drift"])
    recipe = recipe.with_detector(given["detector"]) if given["detector"] else recipe
    if given["measures"] is not None:
        recipe = recipe.with_measures(given["measures"])
    if given["duplicates"]:
        recipe = replace(recipe, duplicates=given["duplicates"])
    recipe = with_scorers(recipe, given["embed"], given["aesthetic"])
    with_blank = given["keep_all"] or given["footage"].endswith(".py")
    recipe = with_keeps(recipe, given["keep"], with_blank)
    if given["training"]:
        recipe = recipe.for_training(training_lengths(given["training"]))
    return recipe


@app.command()
def cancel(
    footage: options.Footage,
    out: OutOption,
) -> None:
    """Cancel the open batch jobs of a build, and keep the answers they have given."""
    from brickfilm.build.build_dataset import cancel_jobs
    from brickfilm.build.caption_options import CaptionOptions
    from brickfilm.build.recipe import resolve_recipe

    recipe = resolve_recipe(footage, CaptionOptions())
    cancel_jobs(recipe.source, recipe.stages, workdir=out)


def run_build(
    recipe: DatasetRecipe, out: Path, training: str | None = None, *, wait: bool = True
) -> None:
    """Build, print the sizes, paths and failures, and exit with the build's exit code.

    training: a trainer, model or recipe; the clips for each bucket of a recipe are counted.
    """
    from brickfilm.build.build_dataset import build

    run_builder(partial(build, workdir=out, wait=wait), recipe, out, training)


def run_builder(
    builder: Callable[..., BuildResult], recipe: DatasetRecipe, out: Path, training: str | None
) -> None:
    """Call a builder with source, stages and test fraction; print and exit as `run_build`."""
    from brickfilm.build.forecast import built_lengths
    from brickfilm.cli.export import coverage_table
    from brickfilm.dataset.reader import find_dataset
    from brickfilm.export.bucket_coverage import dataset_clip_shapes
    from brickfilm.export.training_target import find_training_recipe
    from brickfilm.schema.training_lengths import describe_use

    try:
        result = builder(
            recipe.source,
            recipe.stages,
            test_fraction=recipe.test_fraction,
            duplicates=recipe.duplicates,
        )
    except Interrupted as stop:
        print(f"\n{stop}", file=sys.stderr)
        raise
    for config, splits in result.dataset.items():
        sizes = ", ".join(f"{len(rows)} {split}" for split, rows in splits.items())
        print_text(f"{config}: {sizes}")
    print_text(f"dataset: {out / 'dataset'}\nreport:  {result.dataset.report_path}")
    if counted := None if result.is_empty else find_training_recipe(training):
        console.print(coverage_table(counted, dataset_clip_shapes(find_dataset(out))))
    if lengths := recipe.training_lengths:
        print_text(describe_use(lengths, built_lengths(result.dataset)))
    _print_failures(result.item_results)
    status = f"`brickfilm status {quote(str(out))}` lists the reasons"
    if result.is_empty:
        print_text(
            f"no clips were produced; {status}" if result.exit_code else "the shard has no video"
        )
    if result.exit_code:
        print_text(f"not all items are done; {status}")
    raise typer.Exit(result.exit_code)


def dry_run_build(recipe: DatasetRecipe, out: Path, training: str | None = None) -> None:
    """Print the plan and its forecast; exit with 1 if an item failed, as the build would.

    training: a trainer, model or recipe; the clips for each bucket of a recipe are counted.
    """
    from brickfilm.build.build_dataset import dry_run
    from brickfilm.build.forecast import forecast_lines, planned_clip_shapes, planned_lengths
    from brickfilm.cli.export import coverage_table
    from brickfilm.export.training_target import find_training_recipe
    from brickfilm.schema.training_lengths import describe_use

    pipeline, run = dry_run(recipe.source, recipe.stages, workdir=out)
    lines = list(forecast_lines(recipe.source, run, out))
    for line in lines or ["nothing to do: every answer is stored, or nothing was found"]:
        print_text(line)
    print_text(f"the stages:\n{pipeline.describe()}")
    if counted := find_training_recipe(training):
        console.print(coverage_table(counted, planned_clip_shapes(pipeline, run)))
    if lengths := recipe.training_lengths:
        print_text(describe_use(lengths, planned_lengths(run)))
    _print_failures(run.item_results)
    raise typer.Exit(1 if any(o.status == "failed" for o in run.item_results) else 0)


def _print_failures(item_results: Sequence[ItemResult]) -> None:
    """Print each failure and each rejected video once, at most MAX_FAILURES_PRINTED."""
    messages = dict.fromkeys(
        f"{o.status}: {o.message}"
        for o in item_results
        if o.status == "failed" or (o.status == "rejected" and o.kind in ("listing", "video"))
    )
    for message in list(messages)[:MAX_FAILURES_PRINTED]:
        print_text(message)
    if len(messages) > MAX_FAILURES_PRINTED:
        print_text(f"... and {len(messages) - MAX_FAILURES_PRINTED} more")
