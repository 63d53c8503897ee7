"""Commands before and during a training: train, plan, preflight, cache, check."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from finetune.cli.app import Overrides, RecipeName, app, print_text
from finetune.config import load_recipe


@app.command()
def train(
    recipe: RecipeName,
    overrides: Overrides = None,
    resume: Annotated[str | None, typer.Option(help="'auto', or a checkpoint's folder")] = None,
    new_data: Annotated[
        bool,
        typer.Option(help="the dataset changed since the checkpoint: restart sampling from it"),
    ] = False,
    allow: Annotated[
        list[str] | None,
        typer.Option(help="a key of the recipe that may differ from the checkpoint's; repeatable"),
    ] = None,
) -> None:
    """Train a network or a LoRA; `--resume auto` continues a run."""
    from finetune.training.loop import train as run_training  # takes seconds to import

    settings = load_recipe(recipe, overrides or ())
    summary = run_training(settings, resume=resume, new_data=new_data, allow=allow or ())
    if os.environ.get("RANK", "0") == "0":
        print_text("\n".join(summary_lines(summary, settings.steps)))


def summary_lines(summary: Mapping[str, Any], steps: int) -> Iterator[str]:
    """Yield a run's totals, then its GPU-hours by stage beside the published ones.

    steps: of the recipe, of which a stopped run has taken fewer.
    """
    stages: Mapping[str, Mapping[str, float]] = summary.get("stages", {})
    for name, value in summary.items():
        if name != "stages":
            yield f"{name.replace('_', ' '):<14} {value}"
    for stage, hours in stages.items():
        yield f"{stage}: {hours['gpu_hours']:g} GPU-hours, {hours['published']:g} published"
    if summary["steps"] < steps:
        yield f"stopped after step {summary['steps']} of {steps}: `--resume auto` continues the run"


@app.command()
def plan(
    recipe: RecipeName,
    overrides: Overrides = None,
    gpu: Annotated[
        str | None,
        typer.Option(
            help="b200, h200, h100, a100-80, a100-40, l40s, a6000, 5090, 4090, 3090, or cpu: this "
            "machine"
        ),
    ] = None,
    gpus: Annotated[int | None, typer.Option(min=1, help="number of GPUs, of all nodes")] = None,
    memory: Annotated[
        float | None, typer.Option(min=1, help="GiB to plan for, in place of the GPU's")
    ] = None,
    nodes: Annotated[int, typer.Option(min=1, help="number of nodes")] = 1,
    gpus_per_node: Annotated[int | None, typer.Option(min=1, help="in place of --gpus")] = None,
    link: Annotated[
        float | None, typer.Option(min=0.001, help="Gbit/s of a node's network, one direction")
    ] = None,
    price: Annotated[float | None, typer.Option(min=0, help="USD of a GPU's hour")] = None,
) -> None:
    """Estimate time, memory, disk and cost of a training."""
    from finetune.planning.communication import count_gpus
    from finetune.planning.variants import plan_recipe

    text = plan_recipe(
        recipe,
        overrides or (),
        gpu=gpu,
        gpus=count_gpus(gpus, nodes, gpus_per_node),
        memory=memory,
        nodes=nodes,
        link_gbit=link,
        price=price,
    )
    print_text(text)


@app.command()
def preflight(
    recipe: RecipeName,
    overrides: Overrides = None,
    link: Annotated[
        float | None,
        typer.Option(min=0.001, help="Gbit/s of a node's network; default: as its drivers say"),
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, help="seconds a rank may be silent")] = 600,
    as_json: Annotated[bool, typer.Option("--json", help="print a JSON object")] = False,
) -> None:
    """Check all ranks, links and folders; exit with 1 if not ready.

    Start it as the training: torchrun --nnodes 4 --nproc-per-node 8 ... -m finetune preflight.
    """
    from finetune.preflight.preflight import preflight as check_ranks

    report = check_ranks(recipe, overrides or (), link_gbit=link, timeout=timeout)
    if os.environ.get("RANK", "0") == "0":
        print_text(report.as_json() if as_json else "\n".join(report.lines()))
    raise typer.Exit(0 if report.is_ready else 1)


@app.command()
def cache(
    recipe: RecipeName,
    overrides: Overrides = None,
    processes: Annotated[int, typer.Option(min=1, help="number of encoding processes")] = 1,
    check: Annotated[bool, typer.Option("--verify", help="read every entry back")] = False,
    shard: Annotated[
        str, typer.Option(metavar="I/N", help="encode part I of N (0 to N-1), on one of N machines")
    ] = "0/1",
) -> None:
    """Encode the clips and captions of a dataset before training."""
    from brickfilm.schema.shard_number import parse_shard
    from finetune.data.cache import cache_lines

    part = parse_shard(shard)
    for line in cache_lines(
        load_recipe(recipe, overrides or ()), processes, check=check, shard=part
    ):
        print_text(line)


@app.command()
def check(
    model: Annotated[str, typer.Argument(help="a pipeline's folder or Hub id, or tiny-random")],
    dataset: Annotated[str, typer.Argument(help="your dataset's folder or Hub id")],
    overrides: Overrides = None,
    family: Annotated[
        str | None, typer.Option(help="such as wan2.1; default: that of the pipeline")
    ] = None,
) -> None:
    """Try weights of Wan or LTX-Video on your clips.

    Load them strictly, train a LoRA for 20 steps, and sample before and after.
    """
    from finetune.training.check import check_lines

    for line in check_lines(model, dataset, overrides or (), family=family):
        print_text(line)
