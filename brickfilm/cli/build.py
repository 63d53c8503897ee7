"""`brickfilm build`, `brickfilm cancel`: build a dataset, or end its open batch jobs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from brickfilm.captions.backend import JsonMode
from brickfilm.cli.app import OutOption, app, console
from brickfilm.errors import Interrupted, UsageError

if TYPE_CHECKING:
    from brickfilm.build.recipe import DatasetRecipe
    from brickfilm.engine.ledger import ItemResult

MAX_FAILURES_PRINTED = 10
HdrOption = Annotated[str, typer.Option(help="high dynamic range: reject, or tonemap to BT.709")]
DeinterlaceOption = Annotated[
    str, typer.Option(help="interlaced and telecined videos: auto converts them, off, reject")
]


@app.command()
def build(
    footage: Annotated[Path, typer.Argument(help="a video, a folder of videos, or a recipe .py")],
    out: OutOption,
    captions: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL|local:PATH|sidecar|sidecar:FILE|none",
            help="a model of the OpenAI API or of --base-url; a model run here, by folder or Hub "
            "id; .vtt/.srt/.json beside the videos; a .csv/.jsonl/.parquet; default: gpt-4o",
        ),
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(help="server of the model, as http://localhost:8000/v1")
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option(
            help="general, bricks or a Markdown file; default: OUT's last one, or general"
        ),
    ] = None,
    max_cost_usd: Annotated[
        float | None, typer.Option(min=0, help="never spend more on captions in OUT")
    ] = None,
    json_mode: Annotated[
        JsonMode | None,
        typer.Option(
            "--captions-json-mode",
            help="force replies into JSON by a schema, as an object, or in words alone (text)",
        ),
    ] = None,
    sound: Annotated[bool, typer.Option("--sound", help="write clips with sound")] = False,
    licence: Annotated[
        str,
        typer.Option(
            "--licence", "--license", help="of videos in a folder, as 'CC BY 4.0'; for `push`"
        ),
    ] = "",
    uploader: Annotated[str, typer.Option(help="author of the videos in a folder")] = "",
    hdr: HdrOption = "reject",
    deinterlace: DeinterlaceOption = "auto",
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="print plan and cost; download, encode and request nothing"),
    ] = False,
    training_recipe: Annotated[
        str | None,
        typer.Option(
            "--for", help="with --dry-run: count the clips that a training recipe would use"
        ),
    ] = None,
    locked: Annotated[
        bool, typer.Option("--locked", help="fetch exactly the videos of OUT/sources.lock.json")
    ] = False,
    allow_drift: Annotated[
        bool, typer.Option("--allow-drift", help="as --locked, but accept videos that changed")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="wait for batch jobs, or exit with 3")
    ] = True,
) -> None:
    """Build a captioned dataset. Run it again to continue or to apply new settings."""
    from brickfilm.build.caption_options import CaptionOptions
    from brickfilm.build.recipe import resolve_recipe

    pictures: Any = {"hdr": hdr, "deinterlace": deinterlace}
    options = CaptionOptions(
        captions=captions,
        base_url=base_url,
        prompt=prompt,
        max_cost_usd=max_cost_usd,
        json_mode=json_mode,
    )
    recipe = resolve_recipe(
        footage, options, out=out, sound=sound, licence=licence, uploader=uploader, **pictures
    )
    if locked or allow_drift:
        recipe = recipe.locked(out, allow_drift=allow_drift)
    if dry_run:
        dry_run_build(recipe, out, training_recipe)
    elif training_recipe:
        raise UsageError("--for needs --dry-run; for a built dataset use `brickfilm export --for`")
    else:
        run_build(recipe, out, wait=wait)


@app.command()
def cancel(
    footage: Annotated[Path, typer.Argument(help="the video, folder or recipe of the build")],
    out: OutOption,
) -> None:
    """Cancel the open batch jobs of a build, and keep the answers they have given."""
    from brickfilm.build.build_dataset import cancel_jobs
    from brickfilm.build.caption_options import CaptionOptions
    from brickfilm.build.recipe import resolve_recipe

    recipe = resolve_recipe(footage, CaptionOptions())
    cancel_jobs(recipe.source, recipe.stages, workdir=out)


def run_build(recipe: DatasetRecipe, out: Path, *, wait: bool = True) -> None:
    """Build, print the sizes, paths and failures, and exit with the build's exit code."""
    from brickfilm.build.build_dataset import build

    try:
        result = build(
            recipe.source,
            recipe.stages,
            workdir=out,
            test_fraction=recipe.test_fraction,
            wait=wait,
        )
    except Interrupted as stop:
        print(f"\n{stop}", file=sys.stderr)
        raise
    for config, splits in result.dataset.items():
        sizes = ", ".join(f"{len(rows)} {split}" for split, rows in splits.items())
        _print(f"{config}: {sizes}")
    _print(f"dataset: {out / 'dataset'}\nreport:  {result.dataset.report_path}")
    _print_failures(result.item_results)
    status = f"`brickfilm status {quote(str(out))}` lists the reasons"
    if result.is_empty:
        _print(f"no clips were produced; {status}")
    if result.exit_code:
        _print(f"not all items are done; {status}")
    raise typer.Exit(result.exit_code)


def dry_run_build(recipe: DatasetRecipe, out: Path, training_recipe: str | None = None) -> None:
    """Print the plan and its forecast; exit with 1 if an item failed, as the build would."""
    from brickfilm.build.build_dataset import dry_run
    from brickfilm.build.forecast import forecast_lines, planned_clip_shapes
    from brickfilm.cli.export import coverage_table
    from brickfilm.export.bucket_coverage import TrainingRecipe

    training = TrainingRecipe.from_name(training_recipe) if training_recipe else None
    pipeline, run = dry_run(recipe.source, recipe.stages, workdir=out)
    _print(pipeline.describe())
    for line in forecast_lines(recipe.source, run, out):
        _print(line)
    if training:
        console.print(coverage_table(training, planned_clip_shapes(pipeline, run)))
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
        _print(message)
    if len(messages) > MAX_FAILURES_PRINTED:
        _print(f"... and {len(messages) - MAX_FAILURES_PRINTED} more")


def _print(text: str) -> None:
    """Print text as it is: titles and paths may look like markup."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)
