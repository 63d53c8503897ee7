"""The self-attention that compiles well gives what diffusers' own gives."""

import copy

import pytest
import torch
from torch import Tensor, nn

from finetune.models.diffusers import WAN_2_1
from finetune.models.diffusers.wan_attention import use_joined_attention


@pytest.fixture
def network() -> nn.Module:
    return WAN_2_1.load_network("tiny-random")


def velocity_and_gradients(network: nn.Module) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(1, 16, 3, 6, 8, generator=generator).requires_grad_()
    text = torch.randn(1, 7, 32, generator=generator)
    velocity = network(x, torch.tensor([300.0]), text, return_dict=False)[0]
    velocity.square().mean().backward()
    return [velocity, x.grad, *(p.grad for p in network.parameters() if p.grad is not None)]


def test_joined_attention_equals_that_of_diffusers(network: nn.Module) -> None:
    replaced = copy.deepcopy(network)
    use_joined_attention(replaced, flash=False)
    pairs = zip(velocity_and_gradients(network), velocity_and_gradients(replaced), strict=True)
    for wanted, found in pairs:
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
