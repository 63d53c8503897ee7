"""Publish a run on the Hub: `finetune release RUN REPO`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors import safe_open

from brickfilm.files import check_own_folder, lock_file, replace_folder
from brickfilm.schema.hub_errors import hub_errors
from finetune.config import Recipe, recipe_from_manifest
from finetune.data.encoders import load_caption_encoder, load_vae, unique_captions
from finetune.engines.ema import start_share
from finetune.errors import ReleaseError
from finetune.models import find_family
from finetune.models.adapters import write_weights
from finetune.models.family import CaptionEncoder, LatentCodec
from finetune.models.hub import HUB_ID, is_hub_id
from finetune.release.model_card import render_card
from finetune.sampling.bundle import add_encoders
from finetune.sampling.pipeline import open_index
from finetune.sampling.sources import SAMPLING_FILE, ModelSource, default_settings, find_model
from finetune.training.checkpoint_folders import (
    latest_checkpoint,
    list_checkpoints,
    read_manifest,
    verify_checkpoint,
)
from finetune.validation.page import (
    PAGE_FILE,
    TRAINING_METRICS_FILE,
    ValidationResult,
    render_page,
    validation_results,
)

REPLACED_FILES = ["*.safetensors", "*.json", "vae/*", "text_encoder/*", "samples/*"]
"""Files of the repository that a push deletes unless the release has them."""
RELEASE_FOLDER = "release"
CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class ReleaseOptions:
    """The target repository of a release, and its options."""

    repo_id: str
    private: bool | None = None  # None: leave an existing repository as it is
    copy_encoders: bool = False  # even if the Hub has them
    weights: str | None = None  # "ema" or "raw"; None: the EMA, if the run has one
    licence: str | None = None  # a Hub identifier such as apache-2.0, or the licence's name

    def __post_init__(self) -> None:
        if not HUB_ID.fullmatch(self.repo_id):
            raise ReleaseError(f"{self.repo_id!r} is not a repository: name it 'user/model'")


def build_release(run: Path, options: ReleaseOptions) -> Path:
    """Write the release of a run, or of one of its checkpoints, into a folder and return it.

    Every file of the checkpoint is compared with its manifest first. The new folder replaces an
    older release as a whole: a kill leaves one of them complete.
    """
    source = _find_checkpoint(run, options.weights)
    folder = source.weights.parent.parent / RELEASE_FOLDER
    draft = folder.with_name(f".{RELEASE_FOLDER}.building")
    check_own_folder(folder, (SAMPLING_FILE,))
    with _disk_errors(folder), _lock(folder):
        shutil.rmtree(draft, ignore_errors=True)
        _write_release(draft, source, options)
        replace_folder(draft, folder)
    return folder


@contextmanager
def preview_release(run: Path, options: ReleaseOptions) -> Iterator[Path]:
    """Yield the folder of `build_release` in the system's temporary folder; delete it at the end.

    Raise what `build_release` would, and write nothing elsewhere.
    """
    source = _find_checkpoint(run, options.weights)
    check_own_folder(source.weights.parent.parent / RELEASE_FOLDER, (SAMPLING_FILE,))
    with TemporaryDirectory(prefix="brickfilm-") as temporary:
        folder = Path(temporary, RELEASE_FOLDER)
        with _disk_errors(folder):
            _write_release(folder, source, options)
        yield folder


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ReleaseError(
            f"{folder} cannot be written ({error}): make room and run the same command again"
        ) from error


def _lock(folder: Path) -> AbstractContextManager[None]:
    return lock_file(
        folder.with_name(f".{RELEASE_FOLDER}.lock"),
        busy=lambda holder: ReleaseError(f"{folder} is being written by {holder}: wait for it"),
        unwritable=lambda error: error,
    )


def _write_release(folder: Path, source: ModelSource, options: ReleaseOptions) -> None:
    """Verify a checkpoint; write weights, encoders, samples and the card into a new folder."""
    checkpoint = source.weights.parent
    manifest = verify_checkpoint(checkpoint)
    recipe = recipe_from_manifest(manifest["recipe"], origin=f"{checkpoint}/manifest.json")
    write_weights(find_family(recipe.family), source.weights, folder)
    encoders = _encoders(source, recipe, copy=options.copy_encoders)
    defaults = {k: v for k, v in default_settings(recipe).items() if k != "seed"}
    add_encoders(
        folder,
        **encoders,
        precision=recipe.precision,
        defaults=defaults,
        family=recipe.family,
        flow=recipe.flow,
    )
    card = render_card(
        options.repo_id,
        manifest,
        recipe,
        _copy_samples(checkpoint.parent, recipe, manifest["step"], folder),
        parameters=_count_parameters(folder),
        encoders={name: _encoder_phrase(encoder) for name, encoder in encoders.items()},
        weights=_weights_phrase(source, recipe, manifest["updates"]),
        licence=options.licence or find_family(recipe.family).licence,
    )
    (folder / "README.md").write_text(card, encoding="utf-8")


def push(folder: Path, options: ReleaseOptions) -> str:
    """Upload a built release as one commit; return its address. A repeated push resumes."""
    from huggingface_hub import HfApi

    api = HfApi()
    with hub_errors(options.repo_id):
        address = api.create_repo(options.repo_id, private=options.private, exist_ok=True)
        api.upload_folder(
            repo_id=options.repo_id,
            folder_path=folder,
            commit_message="Release with brickfilm",
            delete_patterns=REPLACED_FILES,
        )
    return str(address)


def describe_weights(run: Path, options: ReleaseOptions) -> str:
    """Return a line on the weights that a release has, and the choice beside them."""
    source = _find_checkpoint(run, options.weights)
    assert source.recipe
    manifest = read_manifest(source.weights.parent)
    phrase = _weights_phrase(source, source.recipe, manifest["updates"])
    other = "; --weights raw releases those of the last step" if source.kind == "ema" else ""
    return f"weights: {phrase}{other}"


def _weights_phrase(source: ModelSource, recipe: Recipe, updates: int) -> str:
    """Describe a checkpoint's weights; of an EMA with the share that training began with."""
    if source.kind == "raw":
        no_ema = "" if recipe.optimizer.ema else ": the run had no EMA"
        return f"those of the last step{no_ema}"
    share = start_share(recipe.optimizer, updates)
    return (
        f"the exponential moving average (EMA, decay {recipe.optimizer.ema:g}); {share:.1%} of it "
        "are the initial weights"
    )


def _find_checkpoint(run: Path, weights: str | None) -> ModelSource:
    """Return the checkpoint of a run's or a checkpoint's folder."""
    if not run.is_dir():
        raise ReleaseError(f"{run} is no folder: name a run, or one of its checkpoints")
    if list_checkpoints(run) and latest_checkpoint(run) is None:
        raise ReleaseError(
            f"{run} has no finished checkpoint: wait until one is written, or name another run"
        )
    source = find_model(str(run), weights=weights)
    if source.recipe is None:
        raise ReleaseError(f"{run} is no run's: name a folder with checkpoints step-...")
    return source


def _encoders(source: ModelSource, recipe: Recipe, *, copy: bool) -> dict[str, Any]:
    """Return each encoder: a Hub id if it may be downloaded from there, else the loaded one."""
    encoders: dict[str, Any] = {}
    for kind, name in {"vae": recipe.vae, "text": recipe.text_encoder}.items():
        if is_hub_id(name) and not copy:
            encoders[kind] = name
        elif kind == "vae":
            encoders[kind] = load_vae(recipe, CPU)
        else:
            exact = replace(recipe, precision="float32")
            captions = partial(_captions_of, source)
            encoders[kind] = load_caption_encoder(exact, captions, CPU)
    return encoders


def _captions_of(source: ModelSource) -> list[str]:
    return unique_captions(open_index(source))


def _encoder_phrase(encoder: LatentCodec | CaptionEncoder | str) -> str:
    """Describe an encoder's location for the card."""
    return f"`{encoder}`" if isinstance(encoder, str) else "in this repository"


def _count_parameters(folder: Path) -> int:
    """Count the numbers in a folder's safetensors files, reading only headers."""
    total = 0
    for file in folder.glob("model*.safetensors"):
        with safe_open(file, framework="pt") as tensors:
            names: list[str] = list(tensors.keys())  # the handle itself does not iterate
            total += sum(prod(tensors.get_slice(name).get_shape()) for name in names)
    return total


def _copy_samples(run: Path, recipe: Recipe, step: int, folder: Path) -> Sequence[ValidationResult]:
    """Copy the first validation, the newest one up to `step`, and the page; return the two.

    Return nothing if there are fewer than two.
    """
    results = validation_results(run, until=step)
    if len(results) < 2:
        return []
    validations = [results[0], results[-1]]
    for result in validations:
        shutil.copytree(result.folder, folder / "samples" / result.folder.name)
    shutil.copy(run / "samples" / TRAINING_METRICS_FILE, folder / "samples" / TRAINING_METRICS_FILE)
    page = render_page(run, recipe, until=step)
    (folder / "samples" / PAGE_FILE).write_text(page, encoding="utf-8")
    return validations
