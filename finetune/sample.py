"""`python -m finetune.sample --model DIR_OR_ID --prompt "..."`: videos from text, and pictures."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from finetune.checkpoint import code_version
from finetune.errors import FinetuneError, SamplingError
from finetune.samples.draw import OnStep
from finetune.samples.files import WRITERS, alone_in, file_name, read_sidecar, write_sample
from finetune.samples.pipeline import Pipeline
from finetune.samples.prompts import read_prompts
from finetune.samples.request import Request, parse_size

Bar = Callable[[Request], AbstractContextManager[OnStep]]
NEEDED = {"mp4": "av", "gif": "PIL", "png": "PIL", "npy": "numpy"}


def sample_all(
    pipeline: Pipeline,
    requests: Sequence[Request],
    out: Path,
    kind: str = "mp4",
    *,
    bar: Bar | None = None,
) -> list[Path]:
    """Sample every request into a folder (or into `out` itself, if it names a file); the files.

    All requests are checked before the first is sampled.
    """
    folder, files = _names(requests, out, kind)
    for request in requests:
        pipeline.check(request)
    about = _about(pipeline)
    with alone_in(folder):
        for request, file in zip(requests, files, strict=True):
            began = time.monotonic()
            with (bar or progress)(request) as on_step:
                frames = pipeline.sample(request, on_step)
            seconds = round(time.monotonic() - began, 2)
            write_sample(file, frames, request, {**about, "seconds": seconds})
    return files


def _names(requests: Sequence[Request], out: Path, kind: str) -> tuple[Path, list[Path]]:
    """The folder to hold, and each sample's file."""
    named = out.suffix.removeprefix(".") in WRITERS
    kind = out.suffix.removeprefix(".") if named else kind
    if kind not in WRITERS:
        raise SamplingError(f"format {kind!r}: choose one of {', '.join(WRITERS)}")
    if find_spec(NEEDED[kind]) is None:
        raise SamplingError(
            f"format {kind!r} needs the package {NEEDED[kind]!r}, which is not installed: "
            "pip install brickfilm, or choose --format npy"
        )
    if not named:
        return out, [out / file_name(request, kind) for request in requests]
    if len(requests) > 1:
        raise SamplingError(f"{out} is one file for {len(requests)} prompts: name a folder")
    return out.parent, [out]


def _about(pipeline: Pipeline) -> dict[str, Any]:
    """What beside the request decides a sample."""
    device = pipeline.device
    return {
        "model": pipeline.source.name,
        "model_digest": pipeline.digest,
        "vae": pipeline.source.vae,
        "text_encoder": pipeline.source.text,
        "precision": pipeline.precision,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "torch": torch.__version__,
        "code": code_version(),
    }


@contextmanager
def progress(request: Request) -> Iterator[OnStep]:
    """A bar with the time left, on standard error; its hook is called after each step."""
    from rich import progress as bars
    from rich.console import Console

    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TimeElapsedColumn(),
        bars.TextColumn("left"),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(request.prompt[:32].replace("[", "("), total=request.steps)
        yield lambda: bar.advance(task)


def main(
    prompt: Annotated[str | None, typer.Option(help="what is to be seen")] = None,
    model: Annotated[str | None, typer.Option(help="release, run, checkpoint or Hub id")] = None,
    prompts: Annotated[Path | None, typer.Option(help="file: one a line, or .jsonl")] = None,
    again: Annotated[Path | None, typer.Option(help="a sample's .json: make it again")] = None,
    image: Annotated[Path | None, typer.Option(help="picture for the first frame")] = None,
    last_image: Annotated[Path | None, typer.Option(help="picture for the last frame")] = None,
    frames: Annotated[int | None, typer.Option(help="1: a picture")] = None,
    size: Annotated[str | None, typer.Option(help="HxW in pixels, such as 360x640")] = None,
    fps: Annotated[float | None, typer.Option(help="frames a second")] = None,
    seed: Annotated[int | None, typer.Option(help="the same seed, the same video")] = None,
    steps: Annotated[int | None, typer.Option(help="sampling steps")] = None,
    guidance: Annotated[float | None, typer.Option(help="how strongly the text pulls")] = None,
    out: Annotated[Path, typer.Option(help="a folder, or one file")] = Path("samples"),
    kind: Annotated[str, typer.Option("--format", help="mp4, gif, png or npy")] = "mp4",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    precision: Annotated[str | None, typer.Option(help="float32 or bfloat16")] = None,
    compile: Annotated[bool, typer.Option("--compile", help="pays over many samples")] = False,
    vae: Annotated[str | None, typer.Option(help="Hub id or folder")] = None,
    text_encoder: Annotated[str | None, typer.Option(help="Hub id or folder")] = None,
    revision: Annotated[str | None, typer.Option(help="of the model on the Hub")] = None,
) -> None:
    """Sample a model: one prompt, a file of prompts, or an old sample again."""
    height, width = parse_size(size) if size else (None, None)
    asked: dict[str, Any] = {
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
    told = read_sidecar(again) if again else {}
    lines = _lines(prompt, prompts, told, {n: v for n, v in asked.items() if v is not None})
    pipeline = Pipeline.from_pretrained(
        _model(model, told),
        revision=revision,
        device=device,
        precision=precision or told.get("precision"),
        vae=vae,
        text_encoder=text_encoder,
        compile=compile,
    )
    for file in sample_all(pipeline, [pipeline.request(**line) for line in lines], out, kind):
        typer.echo(file)
    _say_if_other(pipeline, told)


def _lines(
    prompt: str | None, prompts: Path | None, told: dict[str, Any], asked: dict[str, Any]
) -> list[dict[str, Any]]:
    """The fields of each request; options yield to what a line of a file says itself.

    They are checked here already, before anything is loaded or fetched.
    """
    if [prompt is not None, prompts is not None, bool(told)].count(True) != 1:
        raise SamplingError("give one of --prompt, --prompts and --again")
    if prompts is not None:
        lines = [{**asked, **line} for line in read_prompts(prompts)]
    else:
        lines = [{**told.get("request", {"prompt": prompt}), **asked}]
    for line in lines:
        Request.made(line)
    return lines


def _model(name: str | None, told: dict[str, Any]) -> str:
    found = name or told.get("model")
    if not found:
        raise SamplingError("no model: name a folder or a Hub id with --model")
    return str(found)


def _say_if_other(pipeline: Pipeline, told: dict[str, Any]) -> None:
    """A sample made again by other weights is another sample."""
    if told and told["model_digest"] != pipeline.digest:
        typer.echo("the weights are not those of the old sample: this is another one", err=True)


def command(run: Any = main) -> None:
    """The command line: one line and exit code 1 for what a user can mend."""
    try:
        typer.run(run)
    except FinetuneError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    command()
