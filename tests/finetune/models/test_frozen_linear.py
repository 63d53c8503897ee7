"""A frozen base in int8 or fp8: nearly the same layer, half the memory, resumed exactly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from finetune.config import Adapter, Recipe
from finetune.data.cache import build_cache
from finetune.errors import CheckpointError, ConfigError
from finetune.models.frozen_linear import FP8, KINDS, Fp8Linear, Int8Linear, quantize_frozen
from finetune.tensors import cast_module
from finetune.training.checkpoint_folders import checkpoint_folder
from finetune.training.loop import train
from finetune.training.run import new_model
from tests.finetune.conftest import MakeRecipe
from tests.kit.overfit import relative_error
from tests.kit.toy_runs import checkpoint_tensors, wan_lora


def make_linear(dtype: torch.dtype = torch.float32) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(48, 96).to(dtype).requires_grad_(False)


BOUNDS = {"int8": 0.01, "fp8": 0.05}
"""Of a layer's relative error; fp8 rounds inputs too, each number by up to 1/16."""


@pytest.mark.parametrize("kind", BOUNDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_layer_and_its_gradient_are_nearly_those_in_full_precision(
    dtype: torch.dtype, kind: str
) -> None:
    linear = make_linear(dtype)
    with torch.no_grad():
        linear.weight[3] = 0  # a row without a scale
    results = []
    for layer in (linear, KINDS[kind](linear)):
        x = torch.randn(5, 48, generator=torch.Generator().manual_seed(1)).to(dtype)
        x.requires_grad_(True)
        y = layer(x)
        assert y.dtype == dtype
        (y.float() ** 2).sum().backward()
        results.append((y.detach().float(), x.grad.float()))
    for full, rounded in zip(*results, strict=True):
        assert rounded.isfinite().all()
        assert BOUNDS[kind] / 5 < relative_error(rounded, full) < BOUNDS[kind]


def test_gradients_are_those_of_the_codes_times_their_scales() -> None:
    layer = Int8Linear(make_linear().double())
    x = torch.randn(3, 48, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (x,))
    plain = nn.functional.linear(x, layer.codes.double() * layer.scale[:, None], layer.bias)
    torch.testing.assert_close(layer(x), plain)


def test_the_backward_pass_keeps_the_codes_alone() -> None:
    kept: list[Tensor] = []
    layer = Int8Linear(make_linear())
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        layer(torch.randn(5, 48, requires_grad=True))
    assert max(t.nbytes for t in kept) == layer.codes.nbytes == 48 * 96


def test_fp8_is_the_product_of_rows_rounded_to_float8() -> None:
    layer, x = Fp8Linear(make_linear()), torch.randn(2, 3, 48)
    scale = x.abs().amax(-1, keepdim=True) / 448
    rounded = (x / scale).to(FP8).float() * scale
    weight = layer.codes.view(FP8).float() * layer.scale[:, None]
    torch.testing.assert_close(layer(x), nn.functional.linear(rounded, weight, layer.bias))


def test_fp8_saturates_where_a_scale_was_rounded_down() -> None:
    """449 / 448 is 1 in bfloat16: 449 would be above the largest code, which is NaN."""
    layer = Fp8Linear(make_linear(torch.bfloat16))
    assert layer(torch.full((1, 48), 450.0, dtype=torch.bfloat16)).isfinite().all()


def test_fp8_codes_survive_the_cast_of_a_network() -> None:
    layer = Fp8Linear(make_linear())
    before = layer.codes.clone()
    assert torch.equal(cast_module(layer, torch.bfloat16).codes, before)


@pytest.mark.parametrize("kind", KINDS)
def test_trained_layers_stay_as_they_are(kind: str) -> None:
    block = nn.Sequential(make_linear(), nn.Linear(96, 8))
    quantize_frozen([block], kind)
    assert isinstance(block[0], KINDS[kind])
    assert type(block[1]) is nn.Linear


def test_fp8_leaves_layers_that_its_products_do_not_take() -> None:
    odd = nn.Linear(24, 96).requires_grad_(False)
    block = nn.Sequential(odd)
    quantize_frozen([block], "fp8")
    assert block[0] is odd


@pytest.fixture
def recipe(make_recipe: MakeRecipe) -> Recipe:
    return wan_lora(make_recipe, adapter=Adapter(rank=4, base="int8"))


def test_every_frozen_layer_of_the_blocks_is_quantized(recipe: Recipe) -> None:
    network = new_model(recipe)
    kinds = {name: type(module) for name, module in network.named_modules()}
    assert kinds["blocks.0.attn1.to_q.base_layer"] is Int8Linear
    assert kinds["blocks.1.ffn.net.2.base_layer"] is Int8Linear
    assert kinds["proj_out"] is nn.Linear
    frozen = [n for n, kind in kinds.items() if kind is nn.Linear and n.startswith("blocks.")]
    assert all(".lora_" in name for name in frozen)


def test_sharded_ranks_are_refused(recipe: Recipe) -> None:
    with pytest.raises(ConfigError, match=r"adapter\.base 'int8' is kept whole on each GPU: set"):
        replace(recipe, strategy="fsdp2")


@pytest.mark.slow
def test_an_adapter_on_int8_learns_and_resumes_bit_for_bit(recipe: Recipe, tmp_path: Path) -> None:
    build_cache(recipe)
    recipe = replace(recipe, precision="bfloat16")
    train(recipe)
    begun = replace(recipe, out=str(tmp_path / "begun"))
    train(begun, resume=str(checkpoint_folder(Path(recipe.out), 2)))
    whole, again = checkpoint_tensors(recipe.out, 4), checkpoint_tensors(begun.out, 4)
    assert whole.keys() == again.keys()
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    assert all(".lora_" in name for name in whole), "the frozen base is in the checkpoint"
    assert max(t.abs().max() for n, t in whole.items() if ".lora_B." in n) > 0
    full = replace(recipe, adapter=Adapter(rank=4))
    with pytest.raises(CheckpointError, match=r"adapter\.base was 'int8', is 'full'"):
        train(full, resume="auto")
