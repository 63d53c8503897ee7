"""Publish a run on the Hub: `finetune release RUN REPO`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from finetune.config import Recipe, recipe_from_manifest
from finetune.data.encoders import TINY_RANDOM, load_text_encoder, load_vae
from finetune.errors import ReleaseError
from finetune.models.stdit2.text_encoder import TextEncoder
from finetune.models.stdit2.vae import VAE
from finetune.models.stdit2.weights import read_tensors
from finetune.release.model_card import HUB_ID, render_card
from finetune.sampling.bundle import add_encoders
from finetune.sampling.pipeline import open_index
from finetune.sampling.sources import ModelSource, default_settings, find_model
from finetune.training.checkpoint_folders import (
    latest_checkpoint,
    list_checkpoints,
    verify_checkpoint,
)
from finetune.validation.page import (
    PAGE_FILE,
    TRAINING_METRICS_FILE,
    ValidationResult,
    render_page,
    validation_results,
)

REPLACED_FILES = [
    "*.safetensors",
    "*.json",
    "vae/*",
    "text_encoder/*",
    "samples/*",
]  # what a push replaces
CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class ReleaseOptions:
    """What to publish, and how."""

    repo_id: str
    private: bool | None = None  # none: an existing repository stays as it is
    copy_encoders: bool = False  # into the repository, also where a Hub id would do
    licence: str | None = None  # the Hub's word for it, such as apache-2.0

    def __post_init__(self) -> None:
        if not HUB_ID.fullmatch(self.repo_id):
            raise ReleaseError(f"{self.repo_id!r} is no repository: name it 'user/model'")


def build_release(run: Path, release: ReleaseOptions) -> Path:
    """Write the release of a run (or one of its checkpoints) into a folder; gives the folder.

    Every file of the checkpoint is compared with its manifest first.
    """
    source = _find_checkpoint(run)
    manifest = verify_checkpoint(source.weights.parent)
    recipe = recipe_from_manifest(
        manifest["recipe"], origin=f"{source.weights.parent}/manifest.json"
    )
    folder = source.weights.parent.parent / "release"
    try:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(source.weights, folder)
        encoders = _encoders(source, recipe, copy=release.copy_encoders)
        add_encoders(
            folder,
            **encoders,
            precision=recipe.precision,
            defaults=_without_seed(default_settings(recipe)),
        )
        validations = _copy_samples(source.weights.parent.parent, recipe, manifest["step"], folder)
        card = render_card(
            release.repo_id,
            manifest,
            recipe,
            validations,
            parameters=sum(t.numel() for t in read_tensors(folder).values()),
            encoders={name: _encoder_phrase(encoder) for name, encoder in encoders.items()},
            licence=release.licence,
        )
        (folder / "README.md").write_text(card, encoding="utf-8")
    except OSError as error:
        raise ReleaseError(
            f"{folder} cannot be written ({error}): make room, then again"
        ) from error
    return folder


def push(folder: Path, release: ReleaseOptions) -> str:
    """Upload a built release as one commit; gives its address. Run again, only the rest is sent."""
    from huggingface_hub import HfApi

    api = HfApi()
    with hub_errors(release.repo_id):
        address = api.create_repo(release.repo_id, private=release.private, exist_ok=True)
        api.upload_folder(
            repo_id=release.repo_id,
            folder_path=folder,
            commit_message="Release with brickfilm",
            delete_patterns=REPLACED_FILES,
        )
    return str(address)


@contextmanager
def hub_errors(repo_id: str) -> Iterator[None]:
    """The Hub's refusals in one line, with the remedy."""
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    try:
        yield
    except LocalTokenNotFoundError as error:
        raise ReleaseError("no token: log in with `hf auth login`, or set HF_TOKEN") from error
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        raise ReleaseError(f"{repo_id}: {status} from the Hub; {_remedy(status)}") from error


def _remedy(status: int) -> str:
    return {
        401: "it does not know your token: `hf auth login`, or set HF_TOKEN",
        403: "your token may not write there: use one with the role 'write', of its owner",
        404: "it does not exist, or is not shown to you: check the name and your token",
    }.get(status, "run the same command again, it sends only the rest")


def _find_checkpoint(run: Path) -> ModelSource:
    """The checkpoint that a run or a checkpoint's folder stands for."""
    if not run.is_dir():
        raise ReleaseError(f"{run} is no folder: name a run, or one of its checkpoints")
    if list_checkpoints(run) and latest_checkpoint(run) is None:
        raise ReleaseError(f"{run} has no finished checkpoint: one may still be being written")
    source = find_model(str(run))
    if source.recipe is None:
        raise ReleaseError(f"{run} is no run's: name a folder with checkpoints step-...")
    return source


def _encoders(source: ModelSource, recipe: Recipe, *, copy: bool) -> dict[str, Any]:
    """Each encoder itself, to be copied, or the name under which it is fetched."""
    named = {"vae": recipe.vae, "text": recipe.text_encoder}
    found: dict[str, Any] = {}
    for kind, name in named.items():
        if HUB_ID.fullmatch(name) and not Path(name).exists() and not copy:
            found[kind] = name
        elif kind == "vae":
            found[kind] = load_vae(recipe, CPU)
        elif name == TINY_RANDOM:
            found[kind] = load_text_encoder(recipe, open_index(source), CPU)
        else:
            found[kind] = TextEncoder.from_pretrained(name, tokens=recipe.text_tokens)
    return found


def _encoder_phrase(encoder: VAE | TextEncoder | str) -> str:
    """An encoder in a card's sentence."""
    return f"`{encoder}`" if isinstance(encoder, str) else "in this repository"


def _without_seed(defaults: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in defaults.items() if name != "seed"}


def _copy_samples(run: Path, recipe: Recipe, step: int, folder: Path) -> Sequence[ValidationResult]:
    """Copy the first validation and the newest up to this step, with the page up to it.

    Gives the two; nothing if there are not two.
    """
    found = validation_results(run, until=step)
    if len(found) < 2:
        return []
    validations = [found[0], found[-1]]
    for checkpoint in validations:
        shutil.copytree(checkpoint.folder, folder / "samples" / checkpoint.folder.name)
    shutil.copy(run / "samples" / TRAINING_METRICS_FILE, folder / "samples" / TRAINING_METRICS_FILE)
    (folder / "samples" / PAGE_FILE).write_text(
        render_page(run, recipe, until=step), encoding="utf-8"
    )
    return validations
