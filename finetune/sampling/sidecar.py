"""What lies beside a sample: all that it can be made again from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from finetune.errors import SamplingError
from finetune.sampling.images import file_digest
from finetune.sampling.pipeline import TextToVideoPipeline
from finetune.sampling.sources import exists_locally
from finetune.training.checkpoint_folders import code_version

REQUIRED_KEYS = {"request", "pictures", "model", "files"}  # without these nothing can be made again


def pipeline_metadata(pipeline: TextToVideoPipeline, given: Mapping[str, Any]) -> dict[str, Any]:
    """What beside the request decides a sample. Names of this machine's files are whole paths."""
    device, source = pipeline.device, pipeline.source
    return {
        "model": _absolute_path(source.name),
        "revision": source.revision,
        "model_digest": pipeline.digest,
        "given": {name: _absolute_path(value) for name, value in given.items() if value},
        "vae": source.vae,
        "text_encoder": source.text,
        "precision": pipeline.precision,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "torch": torch.__version__,
        "code": code_version(),
    }


def _absolute_path(name: Any) -> Any:
    return str(Path(name).resolve()) if isinstance(name, str) and exists_locally(name) else name


def read_sidecar(file: Path) -> dict[str, Any]:
    """What a sidecar says. Raises SamplingError if it is none, or its pictures have changed."""
    try:
        sidecar = json.loads(file.read_text())
    except OSError as error:
        raise SamplingError(f"{file} cannot be read ({error.strerror}): name another") from error
    except ValueError:  # no JSON, or no text at all
        sidecar = None
    if not isinstance(sidecar, dict) or not sidecar.keys() >= REQUIRED_KEYS:
        raise SamplingError(f"{file} is no sidecar of a sample: name the .json beside one")
    for name, digest in sidecar["pictures"].items():
        picture = Path(sidecar["request"][name])
        if not picture.is_file() or file_digest(picture) != digest:
            raise SamplingError(f"{picture} is not the picture that {file} began from")
    return sidecar


def sample_format(sidecar: Mapping[str, Any]) -> str:
    """The old sample's format, or the usual one."""
    return next((Path(name).suffix.removeprefix(".") for name in sidecar.get("files", ())), "mp4")


def compare_with_sidecar(
    files: Sequence[Path], sidecar: Mapping[str, Any], now: Mapping[str, Any]
) -> str:
    """Are these the old sample's bytes? If not, what differs that may be why."""
    if {file_digest(file) for file in files} == set(sidecar["files"].values()):
        return "the same as the old sample, to the last bit"
    names = ("request", "model_digest", "precision", "given", "device", "torch", "code")
    other = [name for name in names if now.get(name) != sidecar.get(name)]
    return f"not the old sample: other {', '.join(other) or 'format'}"
