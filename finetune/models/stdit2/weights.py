"""Load and save STDiT2 weights: our folders, Hub repositories, and the original single files."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from brickfilm.files import atomic_path, parse_json
from finetune.errors import WeightsError
from finetune.models.hub import download_snapshot, exists_locally, is_hub_id
from finetune.models.library_errors import check_sizes, library_errors
from finetune.models.stdit2.config import STDiT2Config
from finetune.models.weight_files import (
    WEIGHT_SUFFIXES,
    describe_tensors,
    find_weights,
    read_state_dict,
)

M = TypeVar("M", bound=nn.Module)

CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"
COMPUTED_KEYS = ("pos_embed", "pos_embed_temporal")  # in old files; computed here
HUB_PATTERNS = ["*.json", "*.safetensors", "*.bin"]
MAX_KEYS_SHOWN = 5


def load(
    build: Callable[[STDiT2Config], M],
    source: str | PathLike[str],
    *,
    dtype: torch.dtype,
    device: str | torch.device,
    revision: str | None,
    config: STDiT2Config | None,
) -> M:
    """Build a network on the meta device and fill it from `source` (`STDiT2.from_pretrained`)."""
    path = find_weights(_resolve_source(source, revision))
    tensors = read_tensors(path)
    with library_errors(path), torch.device("meta"):
        model = build(config or _stored_config(path) or infer_config(tensors, path))
    check_keys(model, tensors, path)
    placed = {key: value.to(device=device, dtype=dtype) for key, value in tensors.items()}
    model.load_state_dict(placed, strict=True, assign=True)
    return model


def save(model: nn.Module, config: STDiT2Config, folder: Path) -> None:
    """Write `config.json` and, atomically, `model.safetensors`."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    with atomic_path(folder / WEIGHTS_FILE) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})
    text = json.dumps(dataclasses.asdict(config), indent=2)
    (folder / CONFIG_FILE).write_text(text + "\n")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read the state dict of a file or a folder, under STDiT2's own names."""
    return {k: value for k, value in read_state_dict(path).items() if k not in COMPUTED_KEYS}


def check_keys(model: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raise WeightsError if keys are missing, unknown or of another shape."""
    expected = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    problems = {
        "missing": [key for key in expected if key not in tensors],
        "unknown": [key for key in tensors if key not in expected],
        "of another shape": [
            f"{key} {tuple(tensors[key].shape)}, not {shape}"
            for key, shape in expected.items()
            if key in tensors and tuple(tensors[key].shape) != shape
        ],
    }
    messages = [f"{_summarize_keys(keys)} {kind}" for kind, keys in problems.items() if keys]
    if messages:
        raise WeightsError(
            f"{path} does not fit this STDiT2: {'; '.join(messages)}. "
            "Name the weights of an Open-Sora 1.1 STDiT2, or pass the config that fits them"
        )


def infer_config(tensors: Mapping[str, Tensor], path: Path | str = "it") -> STDiT2Config:
    """Infer the hyperparameters from the tensors of `path`, a checkpoint without config.json.

    Raise WeightsError if the tensors are not an STDiT2's.
    """
    try:
        patch = tensors["x_embedder.proj.weight"].shape
        null_text = tensors["y_embedder.y_embedding"].shape
        hidden = tensors["blocks.0.mlp.fc1.weight"].shape[0]
        head_dim = 2 * len(tensors["rope.freqs"])
    except KeyError as error:
        raise WeightsError(
            f"{path} holds {describe_tensors(tensors)}, not an STDiT2's: {error} is missing; name "
            "another file"
        ) from error
    depth = 1 + max(int(key.split(".")[1]) for key in tensors if key.startswith("blocks."))
    check_sizes({"depth": depth}, path)
    return STDiT2Config(
        depth=depth,
        hidden_size=patch[0],
        num_heads=patch[0] // head_dim,
        mlp_ratio=hidden / patch[0],
        in_channels=patch[1],
        patch_size=(patch[2], patch[3], patch[4]),
        caption_channels=null_text[1],
        model_max_length=null_text[0],
        qk_norm="blocks.0.attn.q_norm.weight" in tensors,
    )


def config_from_dict(stored: Mapping[str, Any]) -> STDiT2Config:
    """Build from a config.json, ignoring the published one's other keys, which change nothing."""
    names = {field.name for field in dataclasses.fields(STDiT2Config)}
    return STDiT2Config(**{key: value for key, value in stored.items() if key in names})


def _stored_config(path: Path) -> STDiT2Config | None:
    file = path / CONFIG_FILE if path.is_dir() else path.with_name(CONFIG_FILE)
    try:
        stored = parse_json(file.read_bytes()) if file.is_file() else None
        if stored is not None:
            check_sizes(stored, file)
        return stored and config_from_dict(stored)
    except (OSError, ValueError, TypeError, AttributeError, ArithmeticError) as error:
        raise WeightsError(f"{file} is no STDiT2's config ({error}): download it again") from error


def _resolve_source(source: str | PathLike[str], revision: str | None) -> Path:
    """Return the folder or file itself, or download the Hub repository of that name."""
    path = Path(source).expanduser()
    if exists_locally(path):
        return path
    text = str(source)
    if not is_hub_id(text) or path.suffix in WEIGHT_SUFFIXES:
        raise WeightsError(f"{text!r} is no file or folder, nor a Hub id like 'name/model'")
    return download_snapshot(text, HUB_PATTERNS, WeightsError, revision=revision)


def _summarize_keys(keys: list[str]) -> str:
    more = len(keys) - MAX_KEYS_SHOWN
    return ", ".join(keys[:MAX_KEYS_SHOWN]) + (f" and {more} more" if more > 0 else "")
