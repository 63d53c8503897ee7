"""Read the tensors of a network from files as trainers leave them, for any family.

Safetensors, or pickles of which only tensors are loaded; whole, sharded with an index, or in the
folder of a run; with the prefixes and wrappers of DDP, torch.compile, FSDP and EMA classes.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from pickle import UnpicklingError
from types import SimpleNamespace
from typing import Any
from zipfile import is_zipfile

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from brickfilm.files import DAMAGED_PICKLE_ERRORS, parse_json
from brickfilm.schema.safe_paths import UnsafePathError, file_inside
from finetune.errors import WeightsError
from finetune.models.library_errors import check_sizes, library_errors

log = logging.getLogger(__name__)

SINGLE_FILES = (
    *("model.safetensors", "diffusion_pytorch_model.safetensors", "pytorch_model.bin"),
    "diffusion_pytorch_model.bin",
)
INDEX_SUFFIX = ".index.json"
PICKLE_SUFFIXES = (".bin", ".pth", ".pt", ".ckpt")
WEIGHT_SUFFIXES = (".safetensors", *PICKLE_SUFFIXES)
NETWORK_FOLDERS = ("ema", "model")  # of a checkpoint; the EMA is what its validation showed
WRAPPER_KEYS = (
    *("ema", "ema_state_dict", "state_dict", "model_state_dict", "model", "module"),
    *("network", "net"),
)
"""Keys under which training scripts put the tensors in a file, the EMA's before others."""
WRAPPER_PARTS = {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
"""Parts of a key that torch.compile, FSDP and activation checkpointing add."""
EMA_PREFIX = "ema_model."  # of a file that holds the trained weights too
COUNTERS = ("n_averaged", "initted", "step")  # of EMA classes
MAX_WRAPPERS = 8
"""Depth of wrappers: a pickle may hold itself."""
MAX_NAMES = 3
Settings: Any = type("Namespace", (SimpleNamespace,), {"__module__": "argparse"})
"""Stand-in for a script's parsed arguments, saved beside its tensors: attributes alone."""


def find_weights(path: Path) -> Path:
    """Return a file, or the folder that holds the weights of a folder: of a run, its newest EMA."""
    if path.is_file():
        return path
    steps = sorted(path.glob("step-????????/manifest.json"))
    folder = steps[-1].parent if steps else path
    for name in NETWORK_FOLDERS:
        if not _files_of(folder) and (folder / name).is_dir():
            log.warning("reading the weights of %s", folder / name)
            return folder / name
    return folder


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a file or folder, without wrappers and prefixes.

    Raise WeightsError if there are none.
    """
    tensors: dict[str, Tensor] = {}
    for file in _weight_files(path):
        tensors.update(_read_file(file))
    named = {_plain_key(key): value for key, value in tensors.items()}
    averaged = {
        _plain_key(key.removeprefix(EMA_PREFIX)): value
        for key, value in named.items()
        if key.startswith(EMA_PREFIX)
    }
    return {key: value for key, value in (averaged or named).items() if key not in COUNTERS}


def describe_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Return what a state dict is, for an error: a LoRA, or the first of its names."""
    if any("lora" in key for key in tensors):
        return "a LoRA adapter, which is merged into its base first"
    names = ", ".join(list(tensors)[:MAX_NAMES])
    return f"{len(tensors)} tensors such as {names}" if tensors else "no tensors"


def _plain_key(key: str) -> str:
    parts = [part for part in key.split(".") if part not in WRAPPER_PARTS]
    while parts[0] == "module" and len(parts) > 1:
        parts = parts[1:]
    return ".".join(parts)


def _files_of(folder: Path) -> list[Path]:
    """Return the files of weights in a folder: those of an index, a usual name, or all."""
    for index in sorted(folder.glob(f"*{INDEX_SUFFIX}")):
        return _indexed_files(index)
    for name in SINGLE_FILES:
        if (folder / name).is_file():
            return [folder / name]
    return sorted(file for file in folder.glob("*") if file.suffix in WEIGHT_SUFFIXES)


def _indexed_files(index: Path) -> list[Path]:
    """Return the files that an index names; raise WeightsError for one outside its folder."""
    try:
        shards = parse_json(index.read_text())["weight_map"].values()
        return [file_inside(index.parent, shard) for shard in sorted(set(shards))]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{index} is not an index of weights ({error!r})") from error
    except (UnsafePathError, OSError) as error:
        raise WeightsError(f"{index}: {error}") from error


def _weight_files(path: Path) -> list[Path]:
    files = [path] if path.is_file() else _files_of(path)
    if not files:
        raise WeightsError(
            f"{path} holds no weights: expected {SINGLE_FILES[0]}, an index of shards, or one file "
            f"of {', '.join(WEIGHT_SUFFIXES)}"
        )
    is_sharded = path.is_dir() and any(path.glob(f"*{INDEX_SUFFIX}"))
    if len(files) > 1 and not is_sharded:
        names = ", ".join(file.name for file in files)
        raise WeightsError(
            f"{path} holds several files of weights and no index: name one ({names})"
        )
    return files


def _read_file(file: Path) -> dict[str, Tensor]:
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        mapped = is_zipfile(file)  # files of before torch 1.6 are not
        with torch.serialization.safe_globals([Settings]):
            stored = torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)
    except (SafetensorError, *DAMAGED_PICKLE_ERRORS) as error:
        raise WeightsError(_read_problem(file, error)) from error
    return _unwrapped(stored, file)


def _read_problem(file: Path, error: Exception) -> str:
    if isinstance(error, UnpicklingError) and "Unsupported global" in str(error):
        return (
            f"{file} holds other Python objects than tensors, and loading those could run code: "
            "save its state dict alone, torch.save(model.state_dict(), file)"
        )
    reason = (str(error).splitlines() or [repr(error)])[0]
    if not isinstance(error, OSError | RuntimeError | SafetensorError):
        # torch's own text advises to load it without a check
        reason = "torch.save has not written it, or it was cut short"
    return f"{file} cannot be read as weights ({reason}): download it again, or name another"


def _unwrapped(stored: Any, file: Path) -> dict[str, Tensor]:
    """Return the tensors of a loaded file, from below known wrappers of any depth."""
    for _ in range(MAX_WRAPPERS):
        if not isinstance(stored, dict):
            break
        inner = [name for name in WRAPPER_KEYS if _may_hold_tensors(stored.get(name))]
        if not inner:
            return {key: value for key, value in stored.items() if isinstance(value, Tensor)}
        if len(inner) > 1:
            log.warning(
                "reading %r of %s, which holds %s too", inner[0], file, ", ".join(inner[1:])
            )
        stored = stored[inner[0]]
    return {}


def _may_hold_tensors(value: Any) -> bool:
    return isinstance(value, dict) and any(isinstance(v, Tensor | dict) for v in value.values())


def load_whole(kind: Any, source: str | PathLike[str], **options: Any) -> nn.Module:
    """Load a network by its class's `from_pretrained`; raise WeightsError if a weight is missing.

    The libraries give it random values, and only warn.
    """
    network: nn.Module
    with library_errors(source):
        check_sizes(_config_of(kind, source), source)
        network, report = kind.from_pretrained(source, output_loading_info=True, **options)
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise WeightsError(
            f"{source} lacks {len(missing)} weights, such as {missing[0]!r}: fetch it again, or "
            "name another"
        )
    return network


def _config_of(kind: Any, source: str | PathLike[str]) -> Mapping[str, Any]:
    """Return the configuration of a class of diffusers or transformers."""
    if hasattr(kind, "load_config"):
        config: Mapping[str, Any] = kind.load_config(source)
        return config
    return dict(kind.config_class.from_pretrained(source).to_dict())
