"""Sample videos and images into files: the library of `finetune sample`."""

from __future__ import annotations

import mimetypes
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from finetune.errors import SamplingError
from finetune.progress import ProgressLines
from finetune.sampling.files import WRITERS, lock_folder, sample_file_name, write_sample
from finetune.sampling.generate import StepCallback
from finetune.sampling.pipeline import TextToVideoPipeline
from finetune.sampling.prompts import read_prompts
from finetune.sampling.request import SampleRequest
from finetune.sampling.sidecar import (
    compare_with_sidecar,
    pipeline_metadata,
    read_sidecar,
    sample_format,
)
from finetune.sampling.sources import build_request, find_model

ProgressFactory = Callable[[SampleRequest], AbstractContextManager[StepCallback]]
REQUIRED_PACKAGES = {"mp4": "av", "gif": "PIL", "png": "PIL", "npy": "numpy"}


def sample_all(
    pipeline: TextToVideoPipeline,
    requests: Sequence[SampleRequest],
    out: Path,
    kind: str = "mp4",
    *,
    pipeline_options: Mapping[str, Any] | None = None,
    progress_bar: ProgressFactory | None = None,
) -> list[Path]:
    """Sample every request into the folder `out`, or into `out` if it is a file; return the files.

    All requests are checked before the first is sampled. pipeline_options: of `from_pretrained`,
    beside the model's name, for the sidecars.
    """
    folder, kind = _resolve_output(requests, out, kind)
    for request in requests:
        pipeline.check(request)
    about = pipeline_metadata(pipeline, pipeline_options or {})
    written: list[Path] = []
    with lock_folder(folder):
        for request in requests:
            name = (
                out.name
                if folder != out
                else sample_file_name(request, kind, about["model_digest"])
            )
            start = time.monotonic()
            with (progress_bar or progress)(request) as on_step:
                frames = pipeline.sample(request, on_step)
            seconds = round(time.monotonic() - start, 2)
            written += write_sample(folder / name, frames, request, {**about, "seconds": seconds})
    return written


def _resolve_output(requests: Sequence[object], out: Path, kind: str) -> tuple[Path, str]:
    """Return the folder to lock, and the format of the files in it."""
    suffix = out.suffix.removeprefix(".")
    is_media = (mimetypes.guess_type(out.name)[0] or "").startswith(("video/", "image/"))
    is_file = suffix in WRITERS or (is_media and not out.is_dir())
    kind = suffix if is_file else kind
    if kind not in WRITERS:
        raise SamplingError(f"format {kind!r}: choose one of {', '.join(WRITERS)}")
    if find_spec(REQUIRED_PACKAGES[kind]) is None:
        raise SamplingError(
            f"format {kind!r} needs the package {REQUIRED_PACKAGES[kind]!r}: "
            "pip install brickfilm, or choose --format npy"
        )
    if is_file and len(requests) > 1:
        raise SamplingError(f"{out} is one file for {len(requests)} prompts: name a folder")
    return (out.parent if is_file else out), kind


@contextmanager
def progress(request: SampleRequest) -> Iterator[StepCallback]:
    """Show a progress bar on standard error; call the yielded function after each step."""
    from rich import progress as bars
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        with ProgressLines(request.prompt[:32], request.steps) as steps:
            yield steps.advance
        return
    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TimeElapsedColumn(),
        bars.TextColumn("left"),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=console) as progress_bar:
        task = progress_bar.add_task(request.prompt[:32].replace("[", "("), total=request.steps)
        yield lambda: progress_bar.advance(task)


def sample_lines(
    fields: dict[str, Any],
    *,
    prompt: str | None,
    prompts: Path | None,
    again: Path | None,
    model: str | None,
    out: Path,
    kind: str | None,
    device: str,
    precision: str | None,
    revision: str | None,
    weights: str | None,
    loading: dict[str, Any],
) -> Iterator[tuple[str, bool]]:
    """Sample the requests of a command line; yield (line, is_note) for each file written.

    fields: of a `SampleRequest`. loading: options of `TextToVideoPipeline.load`.
    """
    sidecar = read_sidecar(again) if again else {}
    lines = _request_fields(prompt, prompts, sidecar, fields)
    _resolve_output(lines, out, kind or sample_format(sidecar))  # checked before loading
    if sidecar and model is None:
        loading = {**sidecar.get("given", {}), **{n: v for n, v in loading.items() if v}}
        revision = revision or sidecar.get("revision")
        weights = weights or sidecar.get("weights")
    source = find_model(_model_name(model, sidecar), revision, weights=weights)
    requests = [build_request(source, line) for line in lines]
    with ProgressLines("loading the model"):
        pipeline = TextToVideoPipeline.load(
            source, device=device, precision=precision or sidecar.get("precision"), **loading
        )
    files = sample_all(
        pipeline, requests, out, kind or sample_format(sidecar), pipeline_options=loading
    )
    for file in files:
        yield str(file), False
    if sidecar:
        now = {"request": requests[0].as_dict(), **pipeline_metadata(pipeline, loading)}
        yield compare_with_sidecar(files, sidecar, now), True


def _request_fields(
    prompt: str | None, prompts: Path | None, sidecar: dict[str, Any], options: dict[str, Any]
) -> list[dict[str, Any]]:
    """Return the fields of each request, checked; lines of a file override the options."""
    if [prompt is not None, prompts is not None, bool(sidecar)].count(True) != 1:
        raise SamplingError("give one of --prompt, --prompts and --again")
    if prompts is not None:
        return read_prompts(prompts, options)
    line = {**sidecar.get("request", {"prompt": prompt}), **options}
    SampleRequest.from_dict(line)
    return [line]


def _model_name(name: str | None, sidecar: dict[str, Any]) -> str:
    model = name or sidecar.get("model")
    if not model:
        raise SamplingError("no model: name a folder or a Hub id with --model")
    return str(model)
