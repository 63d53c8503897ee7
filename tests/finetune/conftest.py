"""One torch thread a test, and a toy recipe that fits it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from finetune.config import Bucket, Checkpoints, Log, Network, Recipe
from tests.kit.toy_clips import Toy, captions, write_dataset
from tests.kit.toy_model import write_model


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def toy_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six clips of 20 frames at 144x256, captions that differ."""
    folder = tmp_path_factory.mktemp("toy")
    return write_dataset(folder, [Toy(caption=text) for text in captions(6)])


MakeRecipe = Callable[..., Recipe]


@pytest.fixture
def make_recipe(toy_dataset: Path, tmp_path: Path) -> MakeRecipe:
    """A recipe for the toy dataset, any field replaced."""
    recipe = Recipe(
        dataset=str(toy_dataset),
        out=str(tmp_path / "run"),
        cache=str(tmp_path / "cache"),
        steps=4,
        buckets=(Bucket(resolution="144p", frames=4, batch_size=2),),
        frame_interval=2,
        vae="tiny-random",
        text_encoder="tiny-random",
        text_tokens=16,
        cache_dtype="float32",
        workers=0,
        device="cpu",
        precision="float32",
        network=Network(depth=1, hidden_size=48, num_heads=2, caption_channels=16),
        checkpoints=Checkpoints(every=2, keep_last=0),
        log=Log(to="none"),
    )

    def make(**fields: Any) -> Recipe:
        return replace(recipe, **fields)

    return make


@pytest.fixture(scope="session")
def toy_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of toy networks that samples by itself."""
    return write_model(tmp_path_factory.mktemp("model"))
