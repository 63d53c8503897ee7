"""Load and save STDiT2 weights: our folders, Hub repositories, and the original single files."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeVar
from zipfile import is_zipfile

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from brickfilm.files import atomic_path
from brickfilm.schema.safe_paths import UnsafePathError, file_inside
from finetune.errors import WeightsError
from finetune.models.hub import download_snapshot
from finetune.models.stdit2.config import STDiT2Config

M = TypeVar("M", bound=nn.Module)

CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"
INDEX_FILES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
SINGLE_FILES = (WEIGHTS_FILE, "diffusion_pytorch_model.safetensors", "pytorch_model.bin")
WRAPPER_KEYS = ("state_dict", "model", "ema")  # that training scripts wrap the tensors in
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
    path = _resolve_source(source, revision)
    tensors = read_tensors(path)
    config = config or _stored_config(path) or infer_config(tensors)
    with torch.device("meta"):
        model = build(config)
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
    tensors: dict[str, Tensor] = {}
    for file in _weight_files(path):
        tensors.update(_read_file(file))
    named = {key.removeprefix("module."): value for key, value in tensors.items()}
    return {key: value for key, value in named.items() if key not in COMPUTED_KEYS}


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


def infer_config(tensors: Mapping[str, Tensor]) -> STDiT2Config:
    """Infer the hyperparameters from the tensors of a checkpoint without config.json.

    Raise WeightsError if the tensors are not an STDiT2's.
    """
    try:
        patch = tensors["x_embedder.proj.weight"].shape
        null_text = tensors["y_embedder.y_embedding"].shape
        hidden = tensors["blocks.0.mlp.fc1.weight"].shape[0]
        head_dim = 2 * len(tensors["rope.freqs"])
    except KeyError as error:
        raise WeightsError(
            f"the checkpoint has no {error}, so it is not an STDiT2's: name another file"
        ) from error
    blocks = {int(key.split(".")[1]) for key in tensors if key.startswith("blocks.")}
    return STDiT2Config(
        depth=max(blocks) + 1,
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
    return config_from_dict(json.loads(file.read_text())) if file.is_file() else None


def _resolve_source(source: str | PathLike[str], revision: str | None) -> Path:
    """Return the folder or file itself, or download the Hub repository of that name."""
    path = Path(source)
    if path.exists():
        return path
    text = str(source)
    if text.count("/") != 1 or path.suffix in {".pth", ".pt", ".bin", ".safetensors"}:
        raise WeightsError(f"{text!r} is no file or folder, nor a Hub id like 'name/model'")
    return download_snapshot(text, HUB_PATTERNS, WeightsError, revision=revision)


def _weight_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    for name in INDEX_FILES:
        if (path / name).is_file():
            return _indexed_files(path, name)
    for name in SINGLE_FILES:
        if (path / name).is_file():
            return [path / name]
    single = sorted(path.glob("*.safetensors")) + sorted(path.glob("*.pth"))
    if len(single) == 1:
        return single
    raise WeightsError(
        f"{path} holds no weights: expected {' or '.join(SINGLE_FILES)}, or an index"
    )


def _indexed_files(folder: Path, index: str) -> list[Path]:
    """Return the files that an index names; raise WeightsError for one outside the folder."""
    try:
        shards = json.loads((folder / index).read_text())["weight_map"].values()
        return [file_inside(folder, shard) for shard in sorted(set(shards))]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{folder / index} is not an index of weights ({error!r})") from error
    except (UnsafePathError, OSError) as error:
        raise WeightsError(f"{folder / index}: {error}") from error


def _read_file(file: Path) -> dict[str, Tensor]:
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        mapped = is_zipfile(file)  # files of before torch 1.6 are not
        stored = torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)
    except (OSError, RuntimeError, SafetensorError, UnpicklingError, EOFError) as error:
        reason = (str(error).splitlines() or [repr(error)])[0]
        raise WeightsError(
            f"{file} cannot be read as weights ({reason}): download it again, or name another"
        ) from error
    for name in WRAPPER_KEYS:
        if isinstance(stored, dict) and isinstance(stored.get(name), dict):
            stored = stored[name]
    named = stored.items() if isinstance(stored, dict) else ()
    return {key: value for key, value in named if isinstance(value, Tensor)}


def _summarize_keys(keys: list[str]) -> str:
    more = len(keys) - MAX_KEYS_SHOWN
    return ", ".join(keys[:MAX_KEYS_SHOWN]) + (f" and {more} more" if more > 0 else "")
