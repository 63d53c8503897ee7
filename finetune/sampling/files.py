"""Write a sample's media, and beside it a JSON sidecar that reproduces it."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brickfilm.files import commit_file, lock_file, temp_path
from finetune.data.gif import write_gif
from finetune.data.media import write_video
from finetune.errors import SamplingError
from finetune.sampling.images import file_digest
from finetune.sampling.request import SampleRequest

LOCK_FILE = ".sampling.lock"
MAX_SLUG_LENGTH = 48  # characters of the prompt in a file name


def write_sample(
    file: Path, frames: Tensor, request: SampleRequest, about: Mapping[str, Any]
) -> list[Path]:
    """Write frames [T, 3, H, W] uint8 in the format of the file's suffix, and the sidecar.

    Return the media files: for .png of several frames, one numbered file per frame. After an error
    while writing, none exists.
    """
    write = WRITERS[file.suffix.removeprefix(".")]
    names, sidecar = _file_names(file, len(frames)), file.with_suffix(".json")
    record = {**_request_record(request), **about}
    drafts = temp_path(file)
    try:
        drafts.mkdir(parents=True, exist_ok=True)
        for name, part in zip(names, torch.chunk(frames, len(names)), strict=True):
            write(drafts / name.name, part, request.fps)
        record["files"] = {name.name: file_digest(drafts / name.name) for name in names}
        (drafts / sidecar.name).write_text(json.dumps(record, indent=1) + "\n")
        for name in (*names, sidecar):
            commit_file(drafts / name.name, name)
    except OSError as error:
        raise SamplingError(
            f"{file} cannot be written ({error.strerror or error}): "
            "make room, or name another --out"
        ) from error
    finally:
        shutil.rmtree(drafts, ignore_errors=True)
    return names


def _file_names(file: Path, frames: int) -> list[Path]:
    if file.suffix != ".png" or frames == 1:
        return [file]
    return [file.with_name(f"{file.stem}-{number:04d}.png") for number in range(frames)]


def sample_file_name(request: SampleRequest, kind: str, model: str) -> str:
    """Return a readable name with 8 hex digits of everything that determines the pixels.

    model: the digest of its weights.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", request.prompt.lower())[:MAX_SLUG_LENGTH].strip("-")
    settings = f"{request.height}x{request.width}-{request.frames}f-{request.steps}s"
    inputs = request.as_dict() | _image_digests(request) | {"model": model}
    digest = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:8]
    return f"{slug or 'sample'}-{settings}-g{request.guidance:g}-seed{request.seed}-{digest}.{kind}"


def lock_folder(folder: Path) -> AbstractContextManager[None]:
    """Lock a folder of samples; raise SamplingError if it is in use or no folder."""
    return lock_file(
        folder / LOCK_FILE,
        busy=lambda holder: SamplingError(
            f"another sampler writes to {folder} ({holder}): wait for it, or name another --out"
        ),
        unwritable=lambda error: SamplingError(
            f"{folder} cannot be written to ({error.strerror}): name another --out"
        ),
    )


def _request_record(request: SampleRequest) -> dict[str, Any]:
    """Return the request, with absolute paths of its images, and the images' digests."""
    digests, fields = _image_digests(request), request.as_dict()
    paths = {name: str(Path(fields[name]).resolve()) for name in digests}
    return {"request": {**fields, **paths}, "pictures": digests}


def _image_digests(request: SampleRequest) -> dict[str, str]:
    images = {"image": request.image, "last_image": request.last_image}
    return {name: file_digest(path) for name, path in images.items() if path}


def _write_png(file: Path, frames: Tensor, fps: float) -> None:
    from PIL import Image

    Image.fromarray(_to_hwc(frames)[0]).save(file)


def _write_npy(file: Path, frames: Tensor, fps: float) -> None:
    with file.open("wb") as stream:
        np.save(stream, _to_hwc(frames))


def _to_hwc(frames: Tensor) -> Any:
    """Convert to a NumPy array [T, H, W, 3] uint8."""
    return np.ascontiguousarray(frames.permute(0, 2, 3, 1).numpy())


WRITERS: Mapping[str, Callable[[Path, Tensor, float], None]] = {
    "mp4": write_video,
    "gif": write_gif,
    "png": _write_png,
    "npy": _write_npy,
}
