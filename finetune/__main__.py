"""Train, cache, sample and publish text-to-video models.

torchrun --nproc_per_node 8 -m finetune train RECIPE trains on several GPUs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from brickfilm.schema.public_text import show_control_characters_of_logs, visible
from brickfilm.schema.stop_signals import interrupt_on_stop_signals
from finetune.config import load_recipe
from finetune.errors import ConfigError, exit_with_one_line


class CommandGroup(TyperGroup):
    """The commands; a recipe in the place of one is an error that shows the right command."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and self.get_command(ctx, args[0]) is None:
            ctx.fail(
                f"no command {args[0]!r}: choose one of {', '.join(self.list_commands(ctx))}; to "
                f"train a recipe: finetune train {' '.join(args)}"
            )
        return super().resolve_command(ctx, args)


app = typer.Typer(
    name="finetune",
    cls=CommandGroup,
    add_completion=False,
    no_args_is_help=True,
    help=__doc__,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
RecipeName = Annotated[str, typer.Argument(help="a .toml file, or a name such as tiny/cpu")]
Overrides = Annotated[list[str] | None, typer.Argument(help="key=value, dots between tables")]
ModelName = Annotated[str | None, typer.Option(help="release, run, checkpoint or Hub id")]
Weights = Annotated[
    str | None, typer.Option(help="ema or raw, of a run; default: its EMA, if it has one")
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda")]


def _print(text: str, *, err: bool = False) -> None:
    """Print text whose names and captions may be anybody's."""
    typer.echo(visible(text), err=err)


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
        _print("\n".join(summary_lines(summary, settings.steps)))


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
    _print(text)


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
        _print(report.as_json() if as_json else "\n".join(report.lines()))
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
        _print(line)


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
        _print(line)


@app.command()
def sample(
    prompt: Annotated[str | None, typer.Option(help="text to sample from")] = None,
    model: ModelName = None,
    prompts: Annotated[Path | None, typer.Option(help="file: one per line, or .jsonl")] = None,
    again: Annotated[Path | None, typer.Option(help="a sample's .json, to repeat it")] = None,
    image: Annotated[Path | None, typer.Option(help="image for the first frame")] = None,
    last_image: Annotated[Path | None, typer.Option(help="image for the last frame")] = None,
    frames: Annotated[int | None, typer.Option(help="1: an image")] = None,
    size: Annotated[str | None, typer.Option(help="HxW in pixels, such as 360x640")] = None,
    fps: Annotated[float | None, typer.Option(help="frames per second")] = None,
    seed: Annotated[int | None, typer.Option(help="the same seed gives the same video")] = None,
    steps: Annotated[int | None, typer.Option(help="sampling steps")] = None,
    guidance: Annotated[float | None, typer.Option(help="classifier-free guidance scale")] = None,
    out: Annotated[Path, typer.Option(help="a folder, or one file")] = Path("samples"),
    kind: Annotated[str | None, typer.Option("--format", help="mp4, gif, png or npy")] = None,
    device: Device = "auto",
    precision: Annotated[str | None, typer.Option(help="float32 or bfloat16")] = None,
    compile: Annotated[bool, typer.Option("--compile", help="worth it for many samples")] = False,
    vae: Annotated[str | None, typer.Option(help="Hub id or folder")] = None,
    text_encoder: Annotated[str | None, typer.Option(help="Hub id or folder")] = None,
    revision: Annotated[str | None, typer.Option(help="revision of the model on the Hub")] = None,
    weights: Weights = None,
) -> None:
    """Sample a model: a prompt, a file of them, or a sample again."""
    from finetune.sampling.request import parse_size
    from finetune.sampling.sample import sample_lines

    height, width = parse_size(size) if size else (None, None)
    options = {
        "image": image and str(image),
        "last_image": last_image and str(last_image),
        "frames": frames,
        "height": height,
        "width": width,
        "fps": fps,
        "seed": seed,
        "steps": steps,
        "guidance": guidance,
    }
    lines = sample_lines(
        {name: value for name, value in options.items() if value is not None},
        prompt=prompt,
        prompts=prompts,
        again=again,
        model=model,
        out=out,
        kind=kind,
        device=device,
        precision=precision,
        revision=revision,
        weights=weights,
        loading={"vae": vae, "text_encoder": text_encoder, "compile": compile},
    )
    for line, is_note in lines:
        _print(line, err=is_note)


@app.command()
def demo(
    model: Annotated[str, typer.Option(help="release, run, checkpoint or Hub id")],
    host: Annotated[str, typer.Option(help="0.0.0.0 opens it to the network")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(help="default: a free one from 7860")] = None,
    out: Annotated[Path | None, typer.Option(help="folder for the videos")] = None,
    device: Device = "auto",
    space: Annotated[Path | None, typer.Option("--export-space", help="write a Space")] = None,
) -> None:
    """Serve a web page that samples a model; or write a Space."""
    if space is not None:
        from finetune.demo.space import export_space

        export_space(space, model)
        _print(f"{space}: python app.py runs it; push the folder to a Space of yours")
        return
    from finetune.demo.app import serve_model

    serve_model(model, out, device=device, host=host, port=port)


@app.command()
def release(
    run: Annotated[Path, typer.Argument(help="a run's folder, or one of its checkpoints")],
    repo: Annotated[str, typer.Argument(help="user/model")],
    private: Annotated[
        bool | None, typer.Option("--private/--public", help="default: as it is")
    ] = None,
    copy_encoders: Annotated[bool, typer.Option(help="also those that are on the Hub")] = False,
    licence: Annotated[str | None, typer.Option(help="such as apache-2.0")] = None,
    dry_run: Annotated[
        bool, typer.Option(help="show files, sizes and the card; write and upload nothing")
    ] = False,
    only_here: Annotated[
        bool, typer.Option("--only-here", help="write the folder, upload nothing")
    ] = False,
    weights: Weights = None,
) -> None:
    """Publish a run: weights, encoders, samples and a card."""
    from finetune.release.release import (
        ReleaseOptions,
        build_release,
        describe_weights,
        preview_release,
        push,
    )

    settings = ReleaseOptions(
        repo_id=repo,
        private=private,
        copy_encoders=copy_encoders,
        licence=licence,
        weights=weights,
    )
    _print(describe_weights(run, settings))
    if dry_run:
        with preview_release(run, settings) as folder:
            _print_files(folder)
            _print(f"the card is:\n\n{(folder / 'README.md').read_text(encoding='utf-8')}")
        return
    folder = build_release(run, settings)
    _print_files(folder)
    _print(f"built in {folder}" if only_here else f"published at {push(folder, settings)}")


def _print_files(folder: Path) -> None:
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        _print(f"{file.stat().st_size:>14,}  {file.relative_to(folder)}")


def check_import_name() -> None:
    """Raise ConfigError if the package index's `finetune`, another project, is installed too."""
    try:
        other = distribution("finetune")
    except PackageNotFoundError:
        return
    raise ConfigError(
        f"the package finetune {other.version} in {other.locate_file('')} is another project with "
        "the same import name: pip uninstall finetune, then pip install --force-reinstall "
        "--no-deps brickfilm"
    )


def main(arguments: list[str] | None = None) -> None:
    """Run a command. Exit codes: 0 done, 1 an error that the user can fix, 2 wrong usage.

    SIGTERM and SIGHUP are handled as Ctrl-C: exit code 130.
    """
    show_control_characters_of_logs()
    interrupt_on_stop_signals()
    with exit_with_one_line():
        check_import_name()
        app(arguments)


if __name__ == "__main__":
    main()
