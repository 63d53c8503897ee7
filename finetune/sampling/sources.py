"""Find a model by name: a release, a run, a checkpoint, or a denoiser without encoders."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from brickfilm.digest import without_digest
from brickfilm.files import parse_json
from finetune.config import Flow, Recipe, recipe_from_manifest
from finetune.errors import SamplingError
from finetune.models import FAMILIES, find_family
from finetune.models.hub import download_snapshot, exists_locally, is_hub_id
from finetune.sampling.request import SampleRequest, check_request
from finetune.training.checkpoint_folders import (
    STEP_FOLDER,
    latest_checkpoint,
    list_checkpoints,
)

CONFIG_FILE = "config.json"  # of a denoiser
SAMPLING_FILE = "sampling.json"  # of a release: its encoders and default settings
HUB_FILE_PATTERNS = ["*.json", "*.safetensors", "*.bin", "*.model", "*.txt"]
WEIGHTS_FOLDERS = {"ema": "ema", "raw": "model"}  # of a checkpoint
DEFAULT_FIELDS = ("frames", "height", "width", "fps", "steps", "guidance", "seed")


@dataclass(frozen=True)
class ModelSource:
    """The locations of a model's networks; a checkpoint of a run also has the recipe."""

    name: str
    weights: Path
    vae: str | None = None  # a Hub id or folder
    text: str | None = None
    precision: str = "bfloat16"
    defaults: Mapping[str, Any] = field(default_factory=dict)
    recipe: Recipe | None = None
    revision: str | None = None  # the Hub's commit, if it was downloaded
    family: str = Recipe.family
    flow: Flow = field(default_factory=Flow)
    kind: str = ""  # of a checkpoint's weights: "ema" or "raw"


def find_model(
    name: str, revision: str | None = None, *, weights: str | None = None
) -> ModelSource:
    """Find a local folder or a Hub repository; raise SamplingError if none is complete.

    weights: "ema" or "raw" of a checkpoint; by default its EMA if it has one.
    """
    if weights not in (None, *WEIGHTS_FOLDERS):
        raise SamplingError(f"weights {weights!r}: choose {' or '.join(WEIGHTS_FOLDERS)}")
    if exists_locally(name):
        source = _local_source(name, Path(name))
        return _choose_weights(source, weights) if weights else source
    folder = _download_from_hub(name, revision)
    source = _local_source(name, folder)
    if source.family not in FAMILIES:  # a downloaded file must not choose what is imported
        raise SamplingError(
            f"{name} is of family {source.family!r}, which is no part of finetune: download it, "
            "and name the folder if you trust that module"
        )
    source = dataclasses.replace(source, revision=folder.name)
    return _choose_weights(source, weights) if weights else source


def _choose_weights(source: ModelSource, kind: str) -> ModelSource:
    """Return the source with its EMA or raw weights; raise SamplingError if it has none."""
    if not source.recipe:
        raise SamplingError(
            f"{source.name} has one set of weights: leave --weights out, or name a checkpoint"
        )
    folder = source.weights.parent / WEIGHTS_FOLDERS[kind]
    if not folder.is_dir():
        raise SamplingError(
            f"{source.name} has no EMA (optimizer.ema = 0): choose --weights raw, or leave it out"
        )
    return dataclasses.replace(source, weights=folder, kind=kind)


def _local_source(name: str, folder: Path) -> ModelSource:
    if (folder / SAMPLING_FILE).is_file():
        return _release_source(name, folder)
    if folder.suffix == ".tmp":
        raise SamplingError(f"{name} is being written: wait until it is renamed {folder.stem!r}")
    if (folder / "manifest.json").is_file():
        return _checkpoint_source(name, folder)
    if STEP_FOLDER.search(folder.name):
        raise SamplingError(f"{name} has no manifest, so it is incomplete: name another checkpoint")
    if list_checkpoints(folder) or list(folder.glob("step-*.tmp")):
        return _checkpoint_source(name, _newest_checkpoint(folder))
    if (folder / CONFIG_FILE).is_file() or folder.is_file():
        return ModelSource(name, folder)
    raise SamplingError(
        f"{name} holds no model: name a release, a run's folder, one of its checkpoints, or a "
        "folder with config.json and weights"
    )


def default_settings(recipe: Recipe) -> dict[str, Any]:
    """Return the default settings of samples: those of the recipe's validation."""
    return {name: getattr(recipe.validation, name) for name in DEFAULT_FIELDS}


def build_request(source: ModelSource, fields: Mapping[str, Any]) -> SampleRequest:
    """Build a request, with the model's defaults for fields that are missing or None.

    Raise SamplingError for what the model's family cannot sample.
    """
    family = find_family(source.family)
    given = {name: value for name, value in fields.items() if value is not None}
    native = {"fps": family.native_fps} if family.native_fps else {}
    request = SampleRequest.from_dict({**native, **source.defaults, **given})
    check_request(request, family, family.objective(source.flow))
    return request


def _release_source(name: str, folder: Path) -> ModelSource:
    try:
        about = parse_json((folder / SAMPLING_FILE).read_bytes())
        family, defaults = about.get("family", Recipe.family), dict(about["defaults"])
        if not isinstance(family, str) or not defaults.keys() <= {*DEFAULT_FIELDS}:
            raise ValueError(f"family {family!r}, defaults {sorted(defaults)}")
        return ModelSource(
            name,
            folder,
            vae=_resolve_encoder(folder, about["vae"]),
            text=_resolve_encoder(folder, about["text_encoder"]),
            precision=about["precision"],
            defaults=defaults,
            family=family,
            flow=Flow(**about.get("flow", {})),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SamplingError(
            f"{folder / SAMPLING_FILE} is incomplete or damaged ({error}): download it again"
        ) from error


def _resolve_encoder(folder: Path, named: str) -> str:
    """Return a folder of the release, or a Hub id (a name with a slash)."""
    if "/" in named:
        return named
    if not (folder / named).is_dir():
        raise SamplingError(
            f"{folder} has no folder {named!r}, which its {SAMPLING_FILE} names: download it again"
        )
    return str(folder / named)


def _checkpoint_source(name: str, folder: Path) -> ModelSource:
    recipe = _recipe_of(folder / "manifest.json")
    kind = "ema" if (folder / "ema").is_dir() else "raw"
    return ModelSource(
        name,
        folder / WEIGHTS_FOLDERS[kind],
        kind=kind,
        vae=recipe.vae,
        text=recipe.text_encoder,
        precision=recipe.precision,
        defaults=default_settings(recipe),
        recipe=recipe,
        family=recipe.family,
        flow=recipe.flow,
    )


def _recipe_of(manifest: Path) -> Recipe:
    try:
        recipe = without_digest(parse_json(manifest.read_bytes()))["recipe"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SamplingError(
            f"{manifest} is incomplete ({error}): name another checkpoint"
        ) from error
    return recipe_from_manifest(recipe, origin=str(manifest))


def _newest_checkpoint(run: Path) -> Path:
    latest = latest_checkpoint(run)
    if latest is None:
        raise SamplingError(f"{run}: its first checkpoint is still being written, wait for it")
    return latest


def _download_from_hub(name: str, revision: str | None) -> Path:
    if not is_hub_id(name):
        raise SamplingError(f"{name!r} is no folder here, nor a Hub id like 'name/model'")
    return download_snapshot(name, HUB_FILE_PATTERNS, SamplingError, revision=revision)
