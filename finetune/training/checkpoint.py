"""Checkpoints: whole or not there, of any engine, for any number of ranks.

A checkpoint is a folder `step-00000500` with `manifest.json` and, for the weights, their average
and Adam's two moments, a folder each of safetensors shards of full tensors; `model` and `ema` load
with `STDiT2.from_pretrained`. It is written beside its place and renamed once every rank's files
are on disk, so that a kill or a full disk never leaves half a one.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from brickfilm.files import replace_folder, sync_path
from finetune.config import Checkpoints
from finetune.engines.base import Engine, ShardDict
from finetune.engines.distributed import rank_and_world_size
from finetune.errors import CheckpointError

FORMAT_VERSION = 1
STEP_FOLDER = re.compile(r"step-(\d{8})$")
INDEX_FILE = "model.safetensors.index.json"
NETWORK_SHAPE_FIELDS = (
    "depth",
    "hidden_size",
    "num_heads",
    "caption_channels",
)  # what weights' shapes come from


def checkpoint_folder(out: Path, step: int) -> Path:
    return out / f"step-{step:08d}"


def save(
    out: Path, step: int, engine: Engine, about: Mapping[str, Any], policy: Checkpoints
) -> Path:
    """Write a checkpoint of this step, then drop those that the policy does not keep.

    `about` is put into the manifest beside what this function adds. Every rank must call. Raises
    CheckpointError on all of them if one cannot write; what was there before is untouched.
    """
    final = checkpoint_folder(out, step)
    unfinished = final.with_suffix(".tmp")
    problems = _write_all_ranks(unfinished, final, engine, {"step": step, **about}, policy)
    if engine.rank == 0:
        shutil.rmtree(unfinished, ignore_errors=True)
    if problems:
        raise CheckpointError(
            f"checkpoint {final} could not be written ({problems[0]}): make room and start again "
            f"with --resume auto; the last good one is {latest_checkpoint(out) or 'none'}"
        )
    if engine.rank == 0:
        prune(out, policy)
    return final


def _write_all_ranks(
    unfinished: Path, final: Path, engine: Engine, about: Mapping[str, Any], policy: Checkpoints
) -> list[str]:
    """Every rank's files, then the manifest and the name; gives what kept any rank from it."""
    write_errors = WriteErrors(engine.rank)
    if engine.rank == 0:
        with write_errors.capture():
            _create_folders(unfinished, engine)
    _all_gather(None)  # the folders are there, or rank 0 knows why not
    files = _write_state(unfinished, engine, policy.shard_mib * 2**20, write_errors)
    theirs = _all_gather((files, rng_state(), write_errors.found))
    problems = [text for _, _, found in theirs for text in found]
    if problems:
        return problems
    if engine.rank == 0:
        with write_errors.capture():
            _finish(unfinished, final, _manifest(engine, about, theirs))
    kept_from: list[str] = _all_gather(write_errors.found)[0]
    return kept_from


def _manifest(engine: Engine, about: Mapping[str, Any], theirs: list[Any]) -> dict[str, Any]:
    """`about` and what every rank wrote: its files' sizes and digests, its random state."""
    return {
        "format": FORMAT_VERSION,
        "updates": engine.updates,
        "loss_scale": engine.loss_scale.state(),
        **about,
        "code": code_version(),
        "world": engine.world_size,
        "rng": [rng for _, rng, _ in theirs],
        "files": {name: file for written, _, _ in theirs for name, file in written.items()},
    }


class WriteErrors:
    """What kept this rank from writing: noted, since the others wait for it to go on."""

    def __init__(self, rank: int) -> None:
        self.rank = rank
        self.found: list[str] = []

    @contextmanager
    def capture(self) -> Iterator[None]:
        try:
            yield
        except (OSError, SafetensorError) as error:
            self.found.append(f"rank {self.rank}: {error}")


def _create_folders(unfinished: Path, engine: Engine) -> None:
    shutil.rmtree(unfinished, ignore_errors=True)
    for kind, shards in engine.shards().items():
        if shards:
            (unfinished / kind).mkdir(parents=True)


def _finish(unfinished: Path, final: Path, manifest: Mapping[str, Any]) -> None:
    """Write the manifest and give the folder its name."""
    file = unfinished / "manifest.json"
    file.write_text(json.dumps(manifest, indent=1))
    replace_folder(unfinished, final)


def _write_state(
    folder: Path, engine: Engine, limit: int, write_errors: WriteErrors
) -> dict[str, dict[str, Any]]:
    """This rank's files of every kind of tensor; gives each one's size and digest."""
    written: dict[str, dict[str, Any]] = {}
    for kind, shards in engine.shards().items():
        groups = list(_group_by_size(shards, engine, limit)) if shards else []
        frozen = engine.frozen if kind in ("model", "ema") else {}
        for number, names in enumerate(groups):
            tensors = {name: engine.gather(name, shards[name]) for name in names}
            if number % engine.world_size == engine.rank and not write_errors.found:
                file = folder / kind / _shard_name(number, len(groups))
                with write_errors.capture():
                    written[f"{kind}/{file.name}"] = _write(
                        file, {**tensors, **frozen} if number == 0 else tensors
                    )
        if engine.rank == 0 and groups and not write_errors.found:
            with write_errors.capture():
                written |= _write_index_and_config(folder / kind, groups, frozen, engine)
    return written


def _group_by_size(shards: ShardDict, engine: Engine, limit: int) -> Iterator[list[str]]:
    """Names in order, in groups of up to `limit` bytes of full float32 tensors."""
    sizes = {name: 4 * p.numel() for name, p in engine.module.named_parameters()}
    names: list[str] = []
    filled = 0
    for name in shards:
        if names and filled + sizes[name] > limit:
            yield names
            names, filled = [], 0
        names.append(name)
        filled += sizes[name]
    yield names


def _shard_name(number: int, count: int) -> str:
    return f"model-{number + 1:05d}-of-{count:05d}.safetensors"


def _write(file: Path, tensors: ShardDict) -> dict[str, Any]:
    save_file({n: t.detach().cpu().contiguous() for n, t in tensors.items()}, file)
    return _sync_and_hash(file)


def _sync_and_hash(file: Path) -> dict[str, Any]:
    """A file's size and digest, once it is on disk."""
    sync_path(file)
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"bytes": file.stat().st_size, "sha256": digest}


def _write_index_and_config(
    folder: Path, groups: list[list[str]], frozen: ShardDict, engine: Engine
) -> dict[str, dict[str, Any]]:
    """Write the index and config with which the folder is a network that loads by itself."""
    where = {n: _shard_name(i, len(groups)) for i, names in enumerate(groups) for n in names}
    where |= dict.fromkeys(frozen, _shard_name(0, len(groups)))
    (folder / INDEX_FILE).write_text(json.dumps({"metadata": {}, "weight_map": where}, indent=1))
    config = dataclasses.asdict(engine.module.config)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    return {
        f"{folder.name}/{name}": _sync_and_hash(folder / name)
        for name in (INDEX_FILE, "config.json")
    }


def load(folder: Path, manifest: Mapping[str, Any], engine: Engine) -> None:
    """Set weights, average and moments from a checkpoint, `manifest` being what `verify_checkpoint` gave.

    Raises CheckpointError for those of another network.
    """
    _check_network(folder, engine)
    for kind, shards in engine.shards().items():
        if kind == "ema" and not (folder / kind).exists():
            kind = "model"  # the run before kept no average: it begins at the weights
        for name, full in _read_tensors(folder / kind, list(shards)):
            shards[name].copy_(engine.shard(name, full))
    engine.updates = int(manifest["updates"])
    engine.loss_scale.restore(manifest.get("loss_scale", {}))
    engine.sync_compute_weights()
    if engine.rank < len(manifest["rng"]):
        set_rng_state(manifest["rng"][engine.rank])


def _check_network(folder: Path, engine: Engine) -> None:
    """Raise CheckpointError if the weights are of another size than the engine's network."""
    theirs = json.loads((folder / "model" / "config.json").read_text())
    ours = dataclasses.asdict(engine.module.config)
    other = [
        f"{name} {theirs[name]}, not {ours[name]}"
        for name in NETWORK_SHAPE_FIELDS
        if theirs[name] != ours[name]
    ]
    if other:
        raise CheckpointError(
            f"{folder} is of another network ({'; '.join(other)}): give the recipe its network "
            "again, or name another out"
        )


def _read_tensors(folder: Path, names: list[str]) -> Iterator[tuple[str, Tensor]]:
    if not names:
        return
    where = json.loads((folder / INDEX_FILE).read_text())["weight_map"]
    missing = [name for name in names if name not in where]
    if missing:
        raise CheckpointError(f"{folder} lacks {missing[:3]}: it is of another network")
    for file in dict.fromkeys(where[name] for name in names):
        with safe_open(folder / file, framework="pt") as tensors:
            for name in names:
                if where[name] == file:
                    yield name, tensors.get_tensor(name)


def verify_checkpoint(folder: Path) -> dict[str, Any]:
    """The manifest of a checkpoint whose files are all as they were written."""
    try:
        manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
        for name, written in manifest["files"].items():
            with (folder / name).open("rb") as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() != written["sha256"]:
                    raise CheckpointError(f"{folder / name} is not as it was written: use another")
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{folder} is no checkpoint ({error}): name another") from error
    return manifest


def latest_checkpoint(out: Path) -> Path | None:
    """The newest finished checkpoint of a run, or none."""
    found = [p for p in list_checkpoints(out) if (p / "manifest.json").exists()]
    return found[-1] if found else None


def list_checkpoints(out: Path) -> list[Path]:
    """A run's checkpoints, oldest first."""
    return (
        sorted(p for p in out.glob("step-*") if STEP_FOLDER.search(p.name)) if out.exists() else []
    )


def prune(out: Path, policy: Checkpoints) -> None:
    """Delete all but the newest `keep` and the milestones."""
    found = list_checkpoints(out)
    for folder in found[: -policy.keep_last] if policy.keep_last else []:
        match = STEP_FOLDER.search(folder.name)
        step = int(match[1]) if match else 0
        if not policy.keep_every or step % policy.keep_every:
            shutil.rmtree(folder)


def rng_state() -> dict[str, str]:
    """This rank's torch generators, as text."""
    state = {"cpu": _rng_to_text(torch.get_rng_state())}
    if torch.cuda.is_available():
        state["cuda"] = _rng_to_text(torch.cuda.get_rng_state())
    return state


def set_rng_state(state: Mapping[str, str]) -> None:
    """Put back what `rng_state` gave."""
    torch.set_rng_state(_rng_from_text(state["cpu"]))
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(_rng_from_text(state["cuda"]))


def code_version() -> str:
    """The installed version, or that the code runs from a checkout."""
    try:
        return version("brickfilm")
    except PackageNotFoundError:
        return "checkout"


def _rng_to_text(state: Tensor) -> str:
    return base64.b64encode(state.numpy().tobytes()).decode()


def _rng_from_text(text: str) -> Tensor:
    return torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.uint8)


def _all_gather(mine: Any) -> list[Any]:
    """Every rank's, in order, on every rank."""
    _, world_size = rank_and_world_size()
    if world_size == 1:
        return [mine]
    theirs: list[Any] = [None] * world_size
    dist.all_gather_object(theirs, mine)
    return theirs
