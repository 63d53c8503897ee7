"""All of Wan's weights trained: drawings of stop motion and images mixed, an average, a release."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard

from finetune.config import Bucket, Checkpoints, Optimizer, Recipe, Validation
from finetune.data.cache import build_cache
from finetune.models.diffusers import WAN_2_1
from finetune.release.release import ReleaseOptions, build_release
from finetune.training.loop import train
from finetune.validation.page import PAGE_FILE
from tests.finetune.conftest import MakeRecipe
from tests.kit.numbered_clips import NumberedClip, numbered_dataset
from tests.kit.toy_runs import checkpoint_tensors, wan_lora

DECAY, STEPS = 0.5, 4
SIZE = {"width": 256, "height": 144}


@pytest.fixture
def recipe(make_recipe: MakeRecipe, tmp_path: Path) -> Recipe:
    """Two clips on twos, of five drawings or more, and two images; the last clip is a test clip."""
    clips = [NumberedClip(10 + n, holds=(2,), **SIZE) for n in range(2)]
    images = [NumberedClip(1, caption=f"a still {n}", **SIZE) for n in range(2)]
    numbered_dataset(tmp_path / "films", [*clips, *images, NumberedClip(20, **SIZE)])
    return wan_lora(
        make_recipe,
        dataset=str(tmp_path / "films" / "dataset"),
        adapter=None,
        steps=STEPS,
        sampling="pose",
        buckets=(
            Bucket(resolution="144p", frames=5, batch_size=1),
            Bucket(resolution="144p", frames=1, batch_size=2),
        ),
        optimizer=Optimizer(ema=DECAY, ema_warmup=False),
        checkpoints=Checkpoints(every=1, keep_last=0),
        validation=Validation(
            prompts=("a castle",),
            every=STEPS,
            frames=5,
            height=64,
            width=64,
            steps=1,
            guidance=1.0,
            sweep=(),
            loss_batches=1,
        ),
    )


@pytest.mark.slow
def test_all_weights_train_on_drawings_and_images_with_an_average_and_are_released(
    recipe: Recipe, tmp_path: Path
) -> None:
    assert build_cache(recipe).clips == 3  # the images have the same pixels
    train(recipe)
    for step in range(2, STEPS + 1):
        before, after = (checkpoint_tensors(recipe.out, s) for s in (step - 1, step))
        for name in (n for n in after if n.startswith("model/")):
            average = name.replace("model/", "ema/")
            wanted = DECAY * before[average] + (1 - DECAY) * after[name]
            torch.testing.assert_close(after[average], wanted)
    begun = replace(recipe, out=str(tmp_path / "begun"), validation=Validation(loss_batches=0))
    train(replace(begun, steps=3))
    train(begun, resume="auto")
    resumed = checkpoint_tensors(begun.out, STEPS)
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in after.items())

    page = (Path(recipe.out) / "samples" / PAGE_FILE).read_text()
    assert page.count("<video") == 3  # the start, and both weights of the end
    folder = build_release(Path(recipe.out), ReleaseOptions(repo_id="me/wan"))
    card = ModelCard.load(folder / "README.md")
    assert card.data.license == "apache-2.0"
    released = WAN_2_1.load_network(folder).state_dict()
    averages = {n.removeprefix("ema/"): t for n, t in after.items() if n.startswith("ema/")}
    assert released.keys() == averages.keys()
    assert all(torch.equal(released[name], tensor) for name, tensor in averages.items())
