"""Read and compare sidecars, which hold everything that reproduces a sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from brickfilm.files import parse_json
from finetune.errors import SamplingError
from finetune.models.hub import exists_locally
from finetune.sampling.images import file_digest
from finetune.sampling.pipeline import TextToVideoPipeline
from finetune.training.checkpoint_folders import code_version

REQUIRED_KEYS = {"request", "pictures", "model", "files"}  # to reproduce a sample


def pipeline_metadata(pipeline: TextToVideoPipeline, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inputs of a sample beside its request; local paths are absolute."""
    device, source = pipeline.device, pipeline.source
    return {
        "model": _absolute_path(source.name),
        "revision": source.revision,
        "weights": source.kind or None,
        "model_digest": pipeline.digest,
        "given": {name: _absolute_path(value) for name, value in options.items() if value},
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
    """Read a sidecar; raise SamplingError if it is none, or if its images have changed."""
    try:
        sidecar = parse_json(file.read_bytes())
    except OSError as error:
        raise SamplingError(f"{file} cannot be read ({error.strerror}): name another") from error
    except ValueError:  # not JSON, or not text
        sidecar = None
    if not _is_sidecar(sidecar):
        raise SamplingError(f"{file} is no sidecar of a sample: name the .json beside one")
    for name, digest in sidecar["pictures"].items():
        image = Path(sidecar["request"][name])
        if not image.is_file() or file_digest(image) != digest:
            raise SamplingError(f"{image} is not the image of {file}: restore it")
    return dict(sidecar)


def _is_sidecar(stored: Any) -> bool:
    """Return True for an object with what `read_sidecar` and a second sample need."""
    if not isinstance(stored, dict) or not stored.keys() >= REQUIRED_KEYS:
        return False
    request, pictures, files = (stored[name] for name in ("request", "pictures", "files"))
    if not all(isinstance(table, dict) for table in (request, pictures, files)):
        return False
    return all(isinstance(request.get(name), str) for name in pictures)


def sample_format(sidecar: Mapping[str, Any]) -> str:
    """Return the old sample's format, or mp4."""
    return next((Path(name).suffix.removeprefix(".") for name in sidecar.get("files", ())), "mp4")


def compare_with_sidecar(
    files: Sequence[Path], sidecar: Mapping[str, Any], now: Mapping[str, Any]
) -> str:
    """Compare files with the old sample's; if they differ, name the inputs that differ."""
    if {file_digest(file) for file in files} == set(sidecar["files"].values()):
        return "identical to the old sample"
    names = ("request", "model_digest", "precision", "given", "device", "torch", "code")
    different = [name for name in names if now.get(name) != sidecar.get(name)]
    return f"differs from the old sample: other {', '.join(different) or 'format'}"
