"""Load a checkpoint into an engine, on any number of ranks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor

from brickfilm.files import parse_json
from brickfilm.schema.safe_paths import file_inside
from brickfilm.schema.system_limits import remedy_of_limit
from finetune.engines.base import Engine
from finetune.errors import CheckpointError
from finetune.training.checkpoint_folders import INDEX_FILE
from finetune.training.random_state import set_rng_state


def load(
    folder: Path, manifest: Mapping[str, Any], engine: Engine, shape: Mapping[str, Any]
) -> None:
    """Set weights, EMA, moments and random state from a checkpoint with this manifest.

    shape: the entries of the network's config that its weights' shapes depend on. Raise
    CheckpointError for a checkpoint of another network.
    """
    _check_network(folder, shape)
    for kind, shards in engine.shards().items():
        if kind == "ema" and not (folder / kind).exists():
            kind = "model"  # a run without EMA: start the average at its weights
        for name, full in _read_tensors(folder / kind, list(shards)):
            shards[name].copy_(engine.shard(name, full))
    engine.updates = int(manifest["updates"])
    engine.loss_scale.restore(manifest.get("loss_scale", {}))
    engine.sync_compute_weights()
    if engine.rank < len(manifest["rng"]):
        set_rng_state(manifest["rng"][engine.rank])


def _check_network(folder: Path, shape: Mapping[str, Any]) -> None:
    """Raise CheckpointError if the weights are of a network with another shape."""
    saved = _read_json(folder / "model" / "config.json")
    found = {name: _entry(saved, name) for name in shape}
    differences = [
        f"{name} {found[name]}, not {ours}" for name, ours in shape.items() if found[name] != ours
    ]
    if differences:
        raise CheckpointError(
            f"{folder} is of another network ({'; '.join(differences)}): set the recipe's network "
            "to match, or name another out"
        )


def _read_json(file: Path) -> Any:
    try:
        return parse_json(file.read_bytes())
    except (OSError, ValueError) as error:
        if remedy_of_limit(error):
            raise
        raise CheckpointError(f"{file} is damaged ({error}): use another checkpoint") from error


def _entry(config: Any, name: str) -> Any:
    """Return the entry of a name with dots between tables; None without one."""
    for part in name.split("."):
        config = config.get(part) if isinstance(config, dict) else None
    return config


def _read_tensors(folder: Path, names: list[str]) -> Iterator[tuple[str, Tensor]]:
    if not names:
        return
    files = _entry(_read_json(folder / INDEX_FILE), "weight_map") or {}
    missing = [name for name in names if name not in files]
    if missing:
        raise CheckpointError(f"{folder} lacks {missing[:3]}: it is of another network")
    for file in dict.fromkeys(files[name] for name in names):
        with safe_open(file_inside(folder, file), framework="pt") as tensors:
            for name in names:
                if files[name] == file:
                    yield name, tensors.get_tensor(name)
