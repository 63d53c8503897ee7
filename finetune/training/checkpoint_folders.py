"""The checkpoint folders of a run: find, verify and prune them."""

from __future__ import annotations

import hashlib
import re
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from brickfilm.digest import without_digest
from brickfilm.files import parse_json
from finetune.config import Checkpoints
from finetune.errors import CheckpointError

STEP_FOLDER = re.compile(r"step-(\d{8})$")
UNFINISHED_SUFFIX = ".tmp"
MANIFEST_FILE = "manifest.json"
INDEX_FILE = "model.safetensors.index.json"  # of one kind of tensors


def checkpoint_folder(out: Path, step: int) -> Path:
    return out / f"step-{step:08d}"


def list_checkpoints(out: Path) -> list[Path]:
    """Return a run's checkpoints, oldest first."""
    folders = out.glob("step-*") if out.exists() else ()
    return sorted(folder for folder in folders if STEP_FOLDER.search(folder.name))


def latest_checkpoint(out: Path) -> Path | None:
    """Return the newest checkpoint of a run, or none."""
    complete = [p for p in list_checkpoints(out) if (p / MANIFEST_FILE).exists()]
    return complete[-1] if complete else None


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return a checkpoint's manifest; raise CheckpointError if it is damaged or missing."""
    try:
        return without_digest(parse_json((folder / MANIFEST_FILE).read_bytes()))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder} is no checkpoint ({error}): name another") from error


def verify_checkpoint(folder: Path, kind: str | None = None) -> dict[str, Any]:
    """Return a checkpoint's manifest; raise CheckpointError if a file is not as it was written.

    kind: the folder of weights to compare; by default all files.
    """
    manifest = read_manifest(folder)
    try:
        for name, written in manifest["files"].items():
            if kind and not name.startswith(f"{kind}/"):
                continue
            with (folder / name).open("rb") as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() != written["sha256"]:
                    raise CheckpointError(
                        f"{folder / name} is not as it was written: use another checkpoint"
                    )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{folder} is no checkpoint ({error}): name another") from error
    return manifest


def prune(out: Path, policy: Checkpoints) -> None:
    """Delete all checkpoints but the newest `keep_last` and multiples of `keep_every`."""
    for folder in list_checkpoints(out)[: -policy.keep_last] if policy.keep_last else []:
        step = int(folder.name.removeprefix("step-"))
        if not policy.keep_every or step % policy.keep_every:
            shutil.rmtree(folder.rename(folder.with_suffix(UNFINISHED_SUFFIX)))


def delete_unfinished(out: Path) -> None:
    """Delete folders that a kill left half written or half deleted."""
    for folder in out.glob(f"step-*{UNFINISHED_SUFFIX}"):
        shutil.rmtree(folder, ignore_errors=True)


def code_version() -> str:
    """Return the installed version, or `checkout` if the code is not installed."""
    try:
        return version("brickfilm")
    except PackageNotFoundError:
        return "checkout"
