"""Read networks of diffusers' classes from pipelines and from checkpoints of a run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from finetune.errors import ConfigError, WeightsError
from finetune.models.diffusers.pipeline_folder import CONFIG_FILE, read_config
from finetune.models.library_errors import check_sizes, library_errors
from finetune.tensors import cast_module

MIN_DIFFUSERS = "0.40"
REMEDY = "fetch both again from one place, or name another folder"  # weights and configuration
FIRST_RELEASES = {"LTX": "0.32", "Wan": "0.33"}  # of classes with this in their names: git tags


def diffusers_class(name: str) -> Any:
    """Return a class of diffusers; raise ConfigError if the installed version lacks it."""
    try:
        import diffusers

        return getattr(diffusers, name)
    except ImportError as error:
        raise ConfigError(
            f"{name} needs diffusers: pip install 'diffusers>={MIN_DIFFUSERS}'"
        ) from error
    except AttributeError as error:
        since = [release for part, release in FIRST_RELEASES.items() if part in name]
        came = f", which came with {since[0]}" if since else ""
        raise ConfigError(
            f"diffusers {diffusers.__version__} has no {name}{came}: "
            f"pip install 'diffusers>={MIN_DIFFUSERS}'"
        ) from error


def load_transformer(
    folder: Path, class_name: str, dtype: torch.dtype, device: torch.device | str
) -> nn.Module:
    """Load a denoiser strictly: every weight has its place, and every place its weight.

    Raise WeightsError for another class, other shapes, or missing or unexpected weights.
    """
    config = read_config(folder, class_name)
    check_sizes(config, folder)
    kind = diffusers_class(class_name)
    with library_errors(folder), torch.device("meta"):
        network: nn.Module = kind.from_config(config)
    for tensors in _weight_files(folder):
        _assign(network, tensors, folder)
    missing = [name for name, p in network.named_parameters() if p.is_meta]
    if missing:
        raise WeightsError(
            f"{folder} lacks {len(missing)} weights, such as {missing[0]!r}: fetch it again, or "
            "name another"
        )
    return cast_module(_with_buffers(network, kind, config), dtype).to(device).eval()


def _weight_files(folder: Path) -> Iterator[dict[str, Tensor]]:
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise WeightsError(f"{folder} holds no *.safetensors: convert its weights with diffusers")
    for file in files:
        try:
            yield load_file(file)
        except (OSError, SafetensorError) as error:
            raise WeightsError(f"{file} cannot be read ({error}): fetch it again") from error


def _assign(network: nn.Module, tensors: dict[str, Tensor], folder: Path) -> None:
    """Put tensors in the place of meta parameters, without a second copy."""
    own = network.state_dict()
    for name, tensor in tensors.items():
        if name not in own:
            raise WeightsError(
                f"{folder} has the weight {name!r}, which the network of its {CONFIG_FILE} lacks: "
                f"{REMEDY}"
            )
        if own[name].shape != tensor.shape:
            wanted = tuple(own[name].shape)
            raise WeightsError(
                f"{folder}: {name!r} is {tuple(tensor.shape)}, should be {wanted} by its "
                f"{CONFIG_FILE}: {REMEDY}"
            )
    network.load_state_dict(tensors, strict=False, assign=True)


def _with_buffers(network: nn.Module, kind: Any, config: dict[str, Any]) -> nn.Module:
    """Compute buffers that are in no file (rotary tables): a network of one block has them all."""
    on_meta = {name for name, buffer in network.named_buffers() if buffer.is_meta}
    if on_meta:
        small = kind.from_config({**config, "num_layers": 1})
        values = dict(small.named_buffers())
        for name in on_meta:
            parent, _, last = name.rpartition(".")
            network.get_submodule(parent).register_buffer(last, values[name], persistent=False)
    return network


def plain_config(network: nn.Module) -> dict[str, Any]:
    """Return a network's configuration as JSON has it, without diffusers' private entries."""
    config: Any = network.config
    entries = {"_class_name": type(network).__name__, **dict(config)}
    kept = {k: v for k, v in entries.items() if not k.startswith("_") or k == "_class_name"}
    plain: dict[str, Any] = json.loads(json.dumps(kept))
    return plain
