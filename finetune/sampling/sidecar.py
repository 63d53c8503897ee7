"""What lies beside a sample: all that it can be made again from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from finetune.errors import SamplingError
from finetune.sampling.images import file_digest
from finetune.sampling.pipeline import Pipeline
from finetune.sampling.sources import is_here
from finetune.training.checkpoint import code_version

STATED = {"request", "pictures", "model", "files"}  # without these nothing can be made again


def about_pipeline(pipeline: Pipeline, given: Mapping[str, Any]) -> dict[str, Any]:
    """What beside the request decides a sample. Names of this machine's files are whole paths."""
    device, source = pipeline.device, pipeline.source
    return {
        "model": _whole(source.name),
        "revision": source.revision,
        "model_digest": pipeline.digest,
        "given": {name: _whole(value) for name, value in given.items() if value},
        "vae": source.vae,
        "text_encoder": source.text,
        "precision": pipeline.precision,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "torch": torch.__version__,
        "code": code_version(),
    }


def _whole(name: Any) -> Any:
    return str(Path(name).resolve()) if isinstance(name, str) and is_here(name) else name


def read_sidecar(file: Path) -> dict[str, Any]:
    """What a sidecar says. Raises SamplingError if it is none, or its pictures have changed."""
    try:
        told = json.loads(file.read_text())
    except OSError as error:
        raise SamplingError(f"{file} cannot be read ({error.strerror}): name another") from error
    except ValueError:  # no JSON, or no text at all
        told = None
    if not isinstance(told, dict) or not told.keys() >= STATED:
        raise SamplingError(f"{file} is no sidecar of a sample: name the .json beside one")
    for name, digest in told["pictures"].items():
        picture = Path(told["request"][name])
        if not picture.is_file() or file_digest(picture) != digest:
            raise SamplingError(f"{picture} is not the picture that {file} began from")
    return told


def kind_of(told: Mapping[str, Any]) -> str:
    """The old sample's format, or the usual one."""
    return next((Path(name).suffix.removeprefix(".") for name in told.get("files", ())), "mp4")


def compared(files: Sequence[Path], told: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Are these the old sample's bytes? If not, what differs that may be why."""
    if {file_digest(file) for file in files} == set(told["files"].values()):
        return "the same as the old sample, to the last bit"
    names = ("request", "model_digest", "precision", "given", "device", "torch", "code")
    other = [name for name in names if now.get(name) != told.get(name)]
    return f"not the old sample: other {', '.join(other) or 'format'}"
