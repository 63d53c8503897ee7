"""Find the parts of a pipeline in diffusers' layout: a folder or Hub id with one folder a part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from brickfilm.files import parse_json
from finetune.errors import WeightsError
from finetune.models.hub import HUB_ID, download_snapshot

CONFIG_FILE = "config.json"
INDEX_FILE = "model_index.json"  # of a pipeline: its class, parts and settings
FILES = ("*.json", "*.safetensors", "*.model", "*.txt")


def find_part(source: Path | str, part: str) -> Path:
    """Return the folder of a part ("transformer", "vae", ...) of a pipeline, or of the part alone.

    source: a folder, or a Hub id, whose part is downloaded. Raise WeightsError if it has none.
    """
    folder = Path(source)
    if not folder.exists() and HUB_ID.fullmatch(str(source)):
        patterns = [CONFIG_FILE, *(f"{part}/{file}" for file in FILES)]
        folder = download_snapshot(str(source), patterns, WeightsError)
    for found in (folder / part, folder):
        if (found / CONFIG_FILE).is_file() or (part == "tokenizer" and _has_tokenizer(found)):
            return found
    raise WeightsError(
        f"{str(source)!r} holds no {part!r} in diffusers' layout ({part}/{CONFIG_FILE}): "
        "name a folder or Hub id of a pipeline, such as Wan-AI/Wan2.1-T2V-1.3B-Diffusers"
    )


def read_index(source: Path | str) -> dict[str, Any] | None:
    """Return the index of a pipeline in a folder or at a Hub id; None for one without."""
    folder = Path(source)
    if not folder.exists() and HUB_ID.fullmatch(str(source)):
        folder = download_snapshot(str(source), [INDEX_FILE], WeightsError)
    return _read_json(folder / INDEX_FILE) if (folder / INDEX_FILE).is_file() else None


def read_config(folder: Path, class_name: str) -> dict[str, Any]:
    """Read a part's configuration; raise WeightsError if it is of another class."""
    config = _read_json(folder / CONFIG_FILE)
    found = config.get("_class_name", class_name)
    if found != class_name:
        raise WeightsError(
            f"{folder} is a {found}, not a {class_name}: name another, or its family"
        )
    return config


def _read_json(file: Path) -> dict[str, Any]:
    try:
        entries = parse_json(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{file} cannot be read ({error}): fetch it again") from error
    if not isinstance(entries, dict):
        found = type(entries).__name__
        raise WeightsError(f"{file} holds a {found}, not a JSON object: fetch it again")
    return entries


def _has_tokenizer(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("tokenizer.json", "spiece.model"))
