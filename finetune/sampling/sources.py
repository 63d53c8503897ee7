"""What a model's name stands for: a release, a run, a checkpoint, or a bare denoiser."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finetune.config import Recipe, parse_recipe
from finetune.errors import SamplingError
from finetune.models.stdit2.weights import CONFIG
from finetune.training.checkpoint import NAME, all_of, newest

ABOUT = "sampling.json"  # of a release: its encoders, and what it is usually asked
FETCHED = ["*.json", "*.safetensors", "*.bin", "*.model", "*.txt"]
ASKED = ("frames", "height", "width", "fps", "steps", "guidance", "seed")


@dataclass(frozen=True)
class Source:
    """Where a model's networks lie. `recipe` is there if it is a run's own checkpoint."""

    name: str
    weights: Path
    vae: str | None = None  # a Hub id or folder
    text: str | None = None
    precision: str = "bfloat16"
    defaults: Mapping[str, Any] = field(default_factory=dict)
    recipe: Recipe | None = None
    revision: str | None = None  # the Hub's commit, if it was fetched from there


def find_source(name: str, revision: str | None = None) -> Source:
    """What is called so. Raises SamplingError for nothing, and for what is still being written."""
    if is_here(name):
        return _found(name, Path(name))
    fetched = _fetched(name, revision)
    return dataclasses.replace(_found(name, fetched), revision=fetched.name)


def is_here(name: str) -> bool:
    """Is there a file or folder of this name? There is none of one that is too long."""
    try:
        return Path(name).exists()
    except OSError:
        return False


def _found(name: str, folder: Path) -> Source:
    if (folder / ABOUT).is_file():
        return _release(name, folder)
    if folder.suffix == ".tmp":
        raise SamplingError(f"{name} is being written: wait until it is called {folder.stem!r}")
    if (folder / "manifest.json").is_file():
        return _checkpoint(name, folder)
    if NAME.search(folder.name):
        raise SamplingError(f"{name} has no manifest: its writing never ended, name another")
    if all_of(folder) or list(folder.glob("step-*.tmp")):
        return _checkpoint(name, _newest(folder))
    if (folder / CONFIG).is_file() or folder.is_file():
        return Source(name, folder)
    raise SamplingError(
        f"{name} holds no model: name a release, a run's folder, one of its checkpoints, or a "
        "folder with config.json and weights"
    )


def usual(recipe: Recipe) -> dict[str, Any]:
    """What samples of a recipe's model are asked by default: what its validation asks."""
    return {name: getattr(recipe.validation, name) for name in ASKED}


def _release(name: str, folder: Path) -> Source:
    try:
        about = json.loads((folder / ABOUT).read_text())
        return Source(
            name,
            folder,
            vae=_inside(folder, about["vae"]),
            text=_inside(folder, about["text_encoder"]),
            precision=about["precision"],
            defaults=about["defaults"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise SamplingError(
            f"{folder / ABOUT} does not say what a release's must ({error}): fetch it again"
        ) from error


def _inside(folder: Path, named: str) -> str:
    """A folder of the release, or (a name with a slash) a Hub id."""
    if "/" in named:
        return named
    if not (folder / named).is_dir():
        raise SamplingError(
            f"{folder} has no folder {named!r}, which its {ABOUT} names: fetch it again"
        )
    return str(folder / named)


def _checkpoint(name: str, folder: Path) -> Source:
    recipe = _recipe_of(folder / "manifest.json")
    kind = "ema" if (folder / "ema").is_dir() else "model"
    return Source(
        name,
        folder / kind,
        vae=recipe.vae,
        text=recipe.text_encoder,
        precision=recipe.precision,
        defaults=usual(recipe),
        recipe=recipe,
    )


def _recipe_of(manifest: Path) -> Recipe:
    try:
        recipe = json.loads(manifest.read_text())["recipe"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SamplingError(
            f"{manifest} does not say what a checkpoint's must ({error}): name another"
        ) from error
    return parse_recipe(recipe, origin=str(manifest))


def _newest(run: Path) -> Path:
    found = newest(run)
    if found is None:
        raise SamplingError(f"{run}: its first checkpoint is still being written, wait for it")
    return found


def _fetched(name: str, revision: str | None) -> Path:
    """The Hub's snapshot of that name."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    if name.count("/") != 1 or name.startswith((".", "/")):
        raise SamplingError(f"{name!r} is no folder here, nor a Hub id like 'name/model'")
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=FETCHED))
    except (HfHubHTTPError, LocalEntryNotFoundError) as error:
        first = str(error).splitlines()[0].rstrip(".")
        where = f"{name!r}{f' at revision {revision!r}' if revision else ''}"
        raise SamplingError(
            f"{where} is no folder here and could not be fetched from the Hub ({first}): "
            "check the name and your token"
        ) from error
