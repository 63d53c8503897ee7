"""A tiny network learns, whatever its seed; one whose targets are shuffled does not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from torch import Tensor

from finetune.config import Bucket, Network, Recipe, Schedule
from finetune.data.cache import build_cache
from finetune.objectives import Diffusion
from finetune.training.loop import train
from tests.finetune.conftest import MakeRecipe

pytestmark = pytest.mark.slow
ENDS = 20  # steps at either end, whose mean losses are compared
BAR = 0.8  # of the beginning's: what the end must come under


@pytest.fixture
def recipe(make_recipe: MakeRecipe) -> Recipe:
    """As `recipes/tiny/cpu.toml`, on smaller clips and for fewer steps."""
    made = make_recipe(
        steps=50,
        buckets=(Bucket(resolution="144p", frames=4, batch_size=4),),
        network=Network(depth=2, hidden_size=96, num_heads=4, caption_channels=16),
        schedule=Schedule(kind="cosine_then_constant", peak=2e-3, warmup=20),
    )
    made = replace(made, checkpoints=replace(made.checkpoints, every=1000))
    build_cache(made)
    return made


def fall(recipe: Recipe, seed: int) -> float:
    """Mean loss of the last steps over that of the first."""
    run = replace(recipe, seed=seed, out=f"{recipe.out}-{seed}")
    train(run)
    lines = (Path(run.out) / "metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in lines]
    assert len(losses) == recipe.steps
    found = sum(losses[-ENDS:]) / sum(losses[:ENDS])
    print(f"seed {seed}: the loss falls to {found:.2f} of its beginning")
    return found


@pytest.mark.parametrize("seed", [42, 43, 44])
def test_a_tiny_network_learns(recipe: Recipe, seed: int) -> None:
    assert fall(recipe, seed) <= BAR


def test_shuffled_targets_cannot_be_learned(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each clip carries its neighbour's noise, and is asked for its own."""
    noised = Diffusion.q_sample

    def shuffled(self: Diffusion, x: Tensor, t: Tensor, noise: Tensor, *rest: Tensor) -> Tensor:
        return noised(self, x, t, noise.roll(1, dims=0), *rest)

    monkeypatch.setattr(Diffusion, "q_sample", shuffled)
    assert fall(recipe, 42) > BAR
