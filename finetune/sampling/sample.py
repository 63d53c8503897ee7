"""Sample videos and pictures from text: the library behind `finetune sample`."""

from __future__ import annotations

import mimetypes
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from finetune.errors import SamplingError
from finetune.sampling.files import WRITERS, alone_in, file_name, write_sample
from finetune.sampling.generate import OnStep
from finetune.sampling.pipeline import Pipeline
from finetune.sampling.prompts import read_prompts
from finetune.sampling.request import Request
from finetune.sampling.sidecar import about_pipeline, compared, kind_of, read_sidecar

Bar = Callable[[Request], AbstractContextManager[OnStep]]
NEEDED = {"mp4": "av", "gif": "PIL", "png": "PIL", "npy": "numpy"}


def sample_all(
    pipeline: Pipeline,
    requests: Sequence[Request],
    out: Path,
    kind: str = "mp4",
    *,
    given: Mapping[str, Any] | None = None,
    bar: Bar | None = None,
) -> list[Path]:
    """Sample every request into a folder (or into `out` itself, if it names a file); the files.

    All requests are checked before the first is sampled. given: of `from_pretrained`, beside the
    model's name, for the sidecars.
    """
    folder, kind = _place(requests, out, kind)
    for request in requests:
        pipeline.check(request)
    about = about_pipeline(pipeline, given or {})
    written: list[Path] = []
    with alone_in(folder):
        for request in requests:
            name = out.name if folder != out else file_name(request, kind, about["model_digest"])
            began = time.monotonic()
            with (bar or progress)(request) as on_step:
                frames = pipeline.sample(request, on_step)
            seconds = round(time.monotonic() - began, 2)
            written += write_sample(folder / name, frames, request, {**about, "seconds": seconds})
    return written


def _place(requests: Sequence[object], out: Path, kind: str) -> tuple[Path, str]:
    """The folder to hold, and the format of the files in it."""
    named = out.suffix.removeprefix(".")
    media = (mimetypes.guess_type(out.name)[0] or "").startswith(("video/", "image/"))
    one = named in WRITERS or (media and not out.is_dir())
    kind = named if one else kind
    if kind not in WRITERS:
        raise SamplingError(f"format {kind!r}: choose one of {', '.join(WRITERS)}")
    if find_spec(NEEDED[kind]) is None:
        raise SamplingError(
            f"format {kind!r} needs the package {NEEDED[kind]!r}, which is not installed: "
            "pip install brickfilm, or choose --format npy"
        )
    if one and len(requests) > 1:
        raise SamplingError(f"{out} is one file for {len(requests)} prompts: name a folder")
    return (out.parent if one else out), kind


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


def sample_lines(
    asked: dict[str, Any],
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
    loading: dict[str, Any],
) -> Iterator[tuple[str, bool]]:
    """Sample what a command line asks for; yield (line, is a note) for each file written.

    asked: fields of a `Request`. loading: options of `Pipeline.from_pretrained`.
    """
    told = read_sidecar(again) if again else {}
    lines = _lines(prompt, prompts, told, asked)
    _place(lines, out, kind or kind_of(told))  # before networks are loaded
    if told and model is None:
        loading = {**told.get("given", {}), **{n: v for n, v in loading.items() if v}}
        revision = revision or told.get("revision")
    pipeline = Pipeline.from_pretrained(
        _model(model, told),
        revision=revision,
        device=device,
        precision=precision or told.get("precision"),
        **loading,
    )
    requests = [pipeline.request(**line) for line in lines]
    files = sample_all(pipeline, requests, out, kind or kind_of(told), given=loading)
    for file in files:
        yield str(file), False
    if told:
        now = {"request": requests[0].as_dict(), **about_pipeline(pipeline, loading)}
        yield compared(files, told, now), True


def _lines(
    prompt: str | None, prompts: Path | None, told: dict[str, Any], asked: dict[str, Any]
) -> list[dict[str, Any]]:
    """The fields of each request; options yield to what a line of a file says itself.

    They are checked here already, before anything is loaded or fetched.
    """
    if [prompt is not None, prompts is not None, bool(told)].count(True) != 1:
        raise SamplingError("give one of --prompt, --prompts and --again")
    if prompts is not None:
        return read_prompts(prompts, asked)
    line = {**told.get("request", {"prompt": prompt}), **asked}
    Request.made(line)
    return [line]


def _model(name: str | None, told: dict[str, Any]) -> str:
    found = name or told.get("model")
    if not found:
        raise SamplingError("no model: name a folder or a Hub id with --model")
    return str(found)
