"""LoRA (Hu et al., 2021) by peft: a frozen base, and trained low-rank layers beside its own.

A checkpoint holds the adapter alone; its config.json names the base, which is read from there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from brickfilm.files import parse_json
from finetune.config import Adapter, Recipe
from finetune.errors import ConfigError, WeightsError
from finetune.models.diffusers.networks import diffusers_class
from finetune.models.family import Family
from finetune.models.frozen_linear import quantize_frozen
from finetune.tensors import DTYPES, cast_module

NAME = "default"  # peft's name of the only adapter
INFIX = f".{NAME}."
RECORD_KEYS = {"base", "rank", "alpha", "targets", "dropout"}  # of a config.json's adapter
DIFFUSERS_FILE = "pytorch_lora_weights.safetensors"  # that `pipeline.load_lora_weights` looks for
COMFYUI_FILE = "comfyui_lora.safetensors"


def has_adapter(network: nn.Module) -> bool:
    """Tell if a network is a frozen base with an adapter."""
    return hasattr(network, "peft_config")


def add_adapter(network: nn.Module, family: Family, recipe: Recipe) -> nn.Module:
    """Freeze a network and add the recipe's adapter to it; return it unchanged without one.

    The base gets the run's precision at once, so that no float32 copy of it is kept; its blocks are
    then quantized if `adapter.base` says so. Raise ConfigError if no layer has one of the targets'
    names.
    """
    if recipe.adapter is None:
        return network
    record = adapter_record(recipe.adapter, family, recipe.init)
    cast_module(network.requires_grad_(False), DTYPES[recipe.precision])
    adapted = _inject(network, record)
    if recipe.adapter.base != "full":
        quantize_frozen(family.blocks(adapted), recipe.adapter.base)
    return adapted


def adapter_record(settings: Adapter, family: Family, base: str) -> dict[str, Any]:
    """Return what a checkpoint's config.json says of its adapter."""
    targets = sorted(settings.targets or family.lora_targets)
    if not targets:
        raise ConfigError(
            f"family {family.name!r} names no layers for an adapter: set adapter.targets"
        )
    return {
        "base": base,
        "rank": settings.rank,
        "alpha": settings.alpha or float(settings.rank),
        "targets": targets,
        "dropout": settings.dropout,
    }


def network_record(family: Family, network: nn.Module) -> dict[str, Any]:
    """Return a checkpoint's config.json: the network's, and its adapter if it has one."""
    record = {"adapter": _record_of(network)} if has_adapter(network) else {}
    return {**family.network_config(network), **record}


def shape_record(family: Family, network: nn.Module) -> dict[str, Any]:
    """Return the entries of config.json that decide the shapes of the trained weights.

    Names have a dot between tables.
    """
    config = family.network_config(network)
    shape = {name: config[name] for name in family.shape_fields if name in config}
    if has_adapter(network):
        shape |= {f"adapter.{name}": _record_of(network)[name] for name in ("rank", "targets")}
    return shape


def load_network(
    family: Family,
    source: Path | str,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> nn.Module:
    """Load a family's network, or the base and adapter of a checkpoint or release of an adapter."""
    record = _read_record(Path(source))
    if record is None:
        return family.load_network(source, dtype=dtype, device=device)
    base = family.load_network(record["base"], dtype=dtype, device="cpu")
    network = _inject(base.requires_grad_(False), record)
    _load_adapter(network, Path(source))
    return cast_module(network.requires_grad_(False), dtype).to(device)


def write_weights(family: Family, weights: Path, folder: Path) -> None:
    """Write a checkpoint's weights as a release has them.

    An adapter is also written as diffusers' `load_lora_weights` and as ComfyUI read it.
    """
    family.write_weights(weights, folder)
    write_lora_files(family, weights, folder)


def write_lora_files(family: Family, weights: Path, folder: Path) -> None:
    """Write a checkpoint's adapter with diffusers' keys, and with ComfyUI's if it reads them.

    Write nothing for other weights, and for families that diffusers has no pipeline of.
    """
    record = _read_record(weights)
    if record is None or not family.pipeline_class:
        return
    plain = {n.replace(INFIX, "."): t.contiguous() for n, t in _adapter_tensors(weights)}
    for start, name in family.adapter_folders.items():
        (folder / name).mkdir(exist_ok=True)
        part = {n.removeprefix(start): t for n, t in plain.items() if n.startswith(start)}
        _write_lora(family, record, part, folder / name)


def _write_lora(
    family: Family, record: Mapping[str, Any], plain: Mapping[str, Tensor], folder: Path
) -> None:
    """Write one network's adapter in both formats."""
    diffusers_class(family.pipeline_class).save_lora_weights(
        folder,
        transformer_lora_layers=plain,
        transformer_lora_adapter_metadata=_peft_config(record).to_dict(),
    )
    renamed = {key: t for name, t in plain.items() if (key := family.comfyui_key(name))}
    scales = {_alpha_key(key): torch.tensor(record["alpha"]) for key in renamed}
    if renamed:
        save_file(renamed | scales, folder / COMFYUI_FILE)


def _alpha_key(key: str) -> str:
    """Return the key of a layer's alpha, by that of its lora_A or lora_B weight."""
    return f"{key.rpartition('.lora_')[0]}.alpha"


def _inject(network: nn.Module, record: Mapping[str, Any]) -> nn.Module:
    from peft import inject_adapter_in_model

    try:
        inject_adapter_in_model(_peft_config(record), network, adapter_name=NAME)
    except ValueError as error:
        raise ConfigError(
            f"adapter.targets {record['targets']} match no linear layer of the network ({error})"
        ) from error
    cast(Any, network).adapter_record = dict(record)
    return network


def _peft_config(record: Mapping[str, Any]) -> Any:
    from peft import LoraConfig

    return LoraConfig(
        r=record["rank"],
        lora_alpha=record["alpha"],
        target_modules=record["targets"],
        lora_dropout=record["dropout"],
    )


def _record_of(network: nn.Module) -> dict[str, Any]:
    record: dict[str, Any] = cast(Any, network).adapter_record
    return record


def _read_record(folder: Path) -> dict[str, Any] | None:
    """Return the adapter's entry of a folder's config.json, or None without one.

    Raise WeightsError if the entry is incomplete.
    """
    try:
        config = parse_json((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    record = config.get("adapter") if isinstance(config, dict) else None
    if record is None:
        return None
    if not isinstance(record, dict) or not record.keys() >= RECORD_KEYS:
        raise WeightsError(
            f"{folder / 'config.json'}: its adapter is {record!r}, without all of "
            f"{', '.join(sorted(RECORD_KEYS))}: copy the whole folder again"
        )
    return record


def _adapter_tensors(folder: Path) -> Iterator[tuple[str, Tensor]]:
    for file in sorted(folder.glob("model*.safetensors")):
        try:
            with safe_open(file, framework="pt") as tensors:
                names: list[str] = list(tensors.keys())
                yield from ((name, tensors.get_tensor(name)) for name in names)
        except (OSError, SafetensorError) as error:
            raise WeightsError(f"{file} cannot be read ({error}): fetch it again") from error


def _load_adapter(network: nn.Module, folder: Path) -> None:
    """Set the adapter's weights; raise WeightsError unless the folder has exactly those."""
    own = {n: p for n, p in network.named_parameters() if ".lora_" in n}
    tensors = dict(_adapter_tensors(folder))
    if own.keys() != tensors.keys():
        differ = sorted(own.keys() ^ tensors.keys())
        raise WeightsError(
            f"{folder} is an adapter of another network: {len(differ)} weights differ, such as "
            f"{differ[0]!r}: {_restore(network)}"
        )
    for name, parameter in own.items():
        if parameter.shape != tensors[name].shape:
            found, wanted = tuple(tensors[name].shape), tuple(parameter.shape)
            raise WeightsError(
                f"{folder}: {name!r} is of another rank or base, {found} in place of {wanted}: "
                f"{_restore(network)}"
            )
        parameter.data.copy_(tensors[name])


def _restore(network: nn.Module) -> str:
    """Return what to do about an adapter that does not fit its configuration."""
    record = _record_of(network)
    return (
        f"its config.json names base {record['base']!r} and rank {record['rank']}; restore the "
        "base that it was trained on, or copy the whole folder again"
    )
