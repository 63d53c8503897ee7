"""Gradients are clipped to the norm that the recipe states."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from finetune.engines.adam import clip_factor
from finetune.engines.data_parallel import DataParallel
from tests.finetune.conftest import MakeRecipe


def test_a_norm_above_the_limit_becomes_the_limit() -> None:
    assert clip_factor(8.0, 2.0) == pytest.approx(0.25, rel=1e-6)
    assert clip_factor(1.0, 2.0) == 1.0
    assert clip_factor(8.0, 0.0) == 1.0  # no limit


@pytest.mark.parametrize("max_norm", [0.5, 0.0])
def test_an_engine_steps_with_clipped_gradients(max_norm: float, make_recipe: MakeRecipe) -> None:
    """Adam's first moment after a step is (1 - beta1) times the gradient that it was given."""
    recipe = make_recipe()
    recipe = replace(recipe, optimizer=replace(recipe.optimizer, grad_clip=max_norm))
    engine = DataParallel(torch.nn.Linear(3, 2), recipe, torch.device("cpu"))
    engine.backward(100 * engine.module(torch.ones(1, 3)).square().sum())
    norm, taken = engine.step(0.1, lambda _: True)
    assert taken and norm > 10
    moment = torch.cat([shard.flatten() for shard in engine.shards()["exp_avg"].values()])
    expected = (1 - recipe.optimizer.betas[0]) * (max_norm or norm)
    assert float(moment.norm()) == pytest.approx(expected, rel=1e-4)
