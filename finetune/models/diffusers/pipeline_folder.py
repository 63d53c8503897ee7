"""Find the parts of a pipeline in diffusers' layout: a folder or Hub id with one folder a part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from brickfilm.files import parse_json
from finetune.errors import WeightsError
from finetune.models.hub import download_snapshot, exists_locally, is_hub_id

CONFIG_FILE = "config.json"
INDEX_FILE = "model_index.json"  # of a pipeline: its class, parts and settings
MARKER_FILES = {  # of which a part's folder holds one; the others have a config.json
    "tokenizer": ("tokenizer.json", "spiece.model"),
    "image_processor": ("preprocessor_config.json",),
}
RECIPE_KEYS = {  # that name a pipeline for a part; the others are the network's
    "vae": "vae",
    "image_encoder": "vae",
    "image_processor": "vae",
    "text_encoder": "text_encoder",
    "tokenizer": "text_encoder",
}
FILES = ("*.json", "*.safetensors", "*.model", "*.txt")


def find_part(source: Path | str, part: str) -> Path:
    """Return the folder of a part ("transformer", "vae", ...) of a pipeline, or of the part alone.

    source: a folder, or a Hub id, whose part is downloaded. Raise WeightsError if it has none.
    """
    folder = Path(source)
    if is_hub_id(source):
        patterns = [CONFIG_FILE, *(f"{part}/{file}" for file in FILES)]
        folder = download_snapshot(str(source), patterns, WeightsError)
    if not exists_locally(folder):
        raise WeightsError(f"{str(source)!r} is no folder here, and no Hub id: {_remedy(part)}")
    files = MARKER_FILES.get(part, (CONFIG_FILE,))
    for found in (folder / part, folder):
        if any((found / file).is_file() for file in files):
            return found
    raise WeightsError(
        f"{str(source)!r} holds no {part!r} in diffusers' layout ({part}/{files[0]}): "
        f"{_remedy(part)}"
    )


def _remedy(part: str) -> str:
    return (
        f"set {RECIPE_KEYS.get(part, 'init')} to a pipeline's folder or Hub id, such as "
        "Wan-AI/Wan2.1-T2V-1.3B-Diffusers"
    )


def read_index(source: Path | str) -> dict[str, Any] | None:
    """Return the index of a pipeline in a folder or at a Hub id; None for one without."""
    folder = Path(source)
    if is_hub_id(source):
        folder = download_snapshot(str(source), [INDEX_FILE], WeightsError)
    file = folder / INDEX_FILE
    return _read_json(file) if exists_locally(file) else None


def read_config(folder: Path, class_name: str) -> dict[str, Any]:
    """Read a part's configuration; raise WeightsError if it is of another class."""
    config = _read_json(folder / CONFIG_FILE)
    found = config.get("_class_name", class_name)
    if found != class_name:
        raise WeightsError(
            f"{folder} is a {found}, not a {class_name}: name a folder of that, or set "
            f"family to one that has a {found}"
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
