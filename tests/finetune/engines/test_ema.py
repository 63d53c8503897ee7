"""The EMA is the average that its settings define, and tells how much of the start is left."""

from __future__ import annotations

from math import prod

import pytest
import torch

from finetune.config import Optimizer, Recipe
from finetune.engines.data_parallel import DataParallel
from finetune.engines.ema import EMA, decay_at, start_share
from finetune.kernels import adamw
from tests.finetune.conftest import MakeRecipe

PLAIN, WARM = Optimizer(ema=0.9, ema_warmup=False), Optimizer(ema=0.9)


def test_the_decay_warms_up_to_its_setting() -> None:
    decays = [decay_at(WARM, update) for update in (1, 2, 3, 81, 82, 1000)]
    assert decays == [1 / 10, 2 / 11, 3 / 12, 81 / 90, 0.9, 0.9]
    assert {decay_at(PLAIN, update) for update in (1, 1000)} == {0.9}


@pytest.mark.parametrize("settings", [PLAIN, WARM, Optimizer(), Optimizer(ema=0.05)])
@pytest.mark.parametrize("updates", [0, 1, 7, 80, 81, 82, 400])
def test_the_share_of_the_start_is_the_product_of_the_decays(
    settings: Optimizer, updates: int
) -> None:
    product = prod(decay_at(settings, update) for update in range(1, updates + 1))
    assert start_share(settings, updates) == pytest.approx(product, rel=1e-9)


def test_without_a_warm_up_a_short_run_keeps_its_start() -> None:
    assert start_share(Optimizer(ema_warmup=False), 1500) == pytest.approx(0.86, abs=0.001)
    assert start_share(Optimizer(), 1500) < 1e-20


def weights_of(engine: DataParallel, kind: str) -> torch.Tensor:
    return torch.cat([shard.flatten() for shard in engine.shards()[kind].values()]).clone()


@pytest.mark.parametrize("settings", [PLAIN, WARM], ids=["plain", "warm-up"])
@pytest.mark.parametrize("fused", [False, True], ids=["torch", "fused"])
def test_an_engines_ema_is_the_weighted_sum_of_its_weights(
    settings: Optimizer, fused: bool, make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decay used the wrong way round keeps 0.1 of the old weights instead of 0.9."""
    recipe: Recipe = make_recipe(optimizer=settings, kernels=fused)
    if fused:  # the plain form of the fused step, which takes the decay of each step
        monkeypatch.setattr("finetune.engines.data_parallel.kernels_available", lambda _: True)
        monkeypatch.setattr(adamw, "kernels_available", lambda _: False)
    engine = DataParallel(torch.nn.Linear(3, 2), recipe, torch.device("cpu"))
    expected = weights_of(engine, "model").double()
    for update in range(1, 6):
        engine.backward(engine.module(torch.ones(1, 3)).square().sum())
        engine.step(0.1, lambda _: True)
        decay = decay_at(settings, update)
        expected = decay * expected + (1 - decay) * weights_of(engine, "model")
    torch.testing.assert_close(weights_of(engine, "ema").double(), expected)
    assert not torch.allclose(weights_of(engine, "ema"), weights_of(engine, "model"), rtol=1e-2)


def test_weights_that_no_gradient_reached_keep_their_average() -> None:
    start = {"a": torch.zeros(2), "b": torch.zeros(2)}
    ema = EMA(start, Optimizer(ema=0.5, ema_warmup=False))
    ema.update({"b": torch.ones(2)}, 1)
    assert ema.shards["a"].tolist() == [0, 0]
    assert ema.shards["b"].tolist() == [0.5, 0.5]
