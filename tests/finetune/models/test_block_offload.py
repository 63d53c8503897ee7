"""Frozen weights in host memory: the same losses and gradients, and two blocks on the device."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from finetune.config import Recipe
from finetune.errors import ConfigError
from finetune.models.block_offload import SLOTS, offload_blocks
from finetune.models.diffusers.block_checkpointing import recompute_blocks
from tests.finetune.conftest import MakeRecipe
from tests.kit.toy_runs import wan_lora

CPU = torch.device("cpu")


class Block(nn.Module):
    """A frozen layer, and a trained one beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Linear(16, 16).requires_grad_(False)
        self.trained = nn.Linear(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.tanh(self.frozen(x)) * self.trained(x)


class Network(nn.Module):
    def __init__(self, depth: int = 5) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.blocks = nn.ModuleList(Block() for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            recompute = getattr(self, "gradient_checkpointing", False) and torch.is_grad_enabled()
            x = self._gradient_checkpointing_func(block, x) if recompute else block(x)
        return x


def gradients(network: Network) -> list[Tensor]:
    """Return the gradients of two steps, which pass the blocks forth and back."""
    found: list[Tensor] = []
    for seed in (1, 2):
        x = torch.randn(3, 16, generator=torch.Generator().manual_seed(seed))
        network(x).square().sum().backward()
        for parameter in network.parameters():
            if parameter.grad is not None:
                found.append(parameter.grad)
                parameter.grad = None
    return found


@pytest.mark.parametrize("recomputed", [0, 3, 5])
@pytest.mark.parametrize("offloaded", [1, 4, 5])
def test_gradients_are_the_same_bit_for_bit(offloaded: int, recomputed: int) -> None:
    plain, network = Network(), Network()
    offload_blocks(list(network.blocks)[:offloaded], CPU)
    recompute_blocks(network, list(network.blocks), recomputed)
    expected = gradients(plain)
    assert len(expected) == 20
    assert all(map(torch.equal, gradients(network), expected))
    with torch.no_grad():
        x = torch.ones(2, 16)
        assert torch.equal(network(x), plain(x))


def test_the_device_has_two_blocks_and_what_is_trained() -> None:
    network = Network()
    offload_blocks(list(network.blocks), CPU)
    storages = {p.untyped_storage().data_ptr() for b in network.blocks for p in [b.frozen.weight]}
    assert len(storages) == SLOTS
    slots = [b.frozen.weight.untyped_storage().nbytes() for b in network.blocks]
    assert max(slots) == 16 * 16 * 4


@pytest.fixture
def recipe(make_recipe: MakeRecipe) -> Recipe:
    return wan_lora(make_recipe)


def test_a_network_without_an_adapter_or_with_shards_is_refused(recipe: Recipe) -> None:
    for refused in ({"adapter": None}, {"strategy": "fsdp2"}):
        with pytest.raises(ConfigError, match=r"offload_blocks 2 copies frozen weights.*to 0, or"):
            replace(recipe, offload_blocks=2, **refused)
