"""The random numbers of a sample come from its own seed, and captions are dropped at their rate."""

from __future__ import annotations

import pytest
import torch

from finetune.config import Flow
from finetune.objectives import FlowMatching
from finetune.training.noise import SampleNoise, draw_noise
from tests.finetune.conftest import MakeRecipe

SHAPE = (4, 2, 3, 3)


def draws(seeds: list[int], make_recipe: MakeRecipe, dropout: float = 0.1) -> SampleNoise:
    objective = FlowMatching(Flow(), lambda _: 1.0)
    recipe = make_recipe(caption_dropout=dropout)
    return draw_noise(seeds, SHAPE, recipe, objective, torch.device("cpu"))


def test_a_sample_draws_the_same_in_any_company(make_recipe: MakeRecipe) -> None:
    together, alone = draws([3, 4], make_recipe), draws([4], make_recipe)
    for name in ("time", "noise", "vae_noise", "drop_caption"):
        assert torch.equal(getattr(together, name)[1:], getattr(alone, name))
    assert not torch.equal(together.noise[0], together.noise[1])
    assert not torch.equal(alone.noise, alone.vae_noise)


@pytest.mark.parametrize("dropout", [0.0, 0.2, 1.0])
def test_captions_are_dropped_at_their_rate(dropout: float, make_recipe: MakeRecipe) -> None:
    dropped = draws(list(range(1000)), make_recipe, dropout).drop_caption
    assert float(dropped.float().mean()) == pytest.approx(dropout, abs=0.04)
