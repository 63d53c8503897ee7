"""The VAE's norm and attention, put another way, against PyTorch's and diffusers'."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from finetune.kernels.channels_last import (
    ChannelsLastGroupNorm,
    WideHeadAttnProcessor,
    use_channels_last,
)
from tests.finetune.kernels.agreement import agree


@pytest.mark.parametrize("shape", [(2, 12, 9, 7), (3, 12, 35), (1, 12, 1, 1)])
@pytest.mark.parametrize("offset", [0.0, 30.0])  # far from zero, squares would cancel
def test_the_norm_is_a_group_norm(shape: tuple[int, ...], offset: float) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator) + offset
    weights = [torch.randn(12, generator=generator) for _ in range(2)]

    def norm(kind: type[nn.GroupNorm], x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        values = {"weight": weight, "bias": bias}
        return torch.func.functional_call(kind(3, 12, device=x.device), values, (x,))

    agree(
        lambda *given: norm(ChannelsLastGroupNorm, *given),
        lambda *given: norm(nn.GroupNorm, *given),
        [x, *weights],
        exact=not offset,
    )


def test_wide_attention_is_the_usual_one() -> None:
    attention = pytest.importorskip("diffusers.models.attention_processor").Attention
    torch.manual_seed(0)
    usual = attention(64, heads=1, dim_head=64, norm_num_groups=4, residual_connection=True)
    x = torch.randn(3, 64, 5, 7)
    wanted = usual(x, temb=None)
    usual.set_processor(WideHeadAttnProcessor())
    torch.testing.assert_close(usual(x, temb=None), wanted)


def test_norms_are_replaced_and_keep_their_weights() -> None:
    network = nn.Sequential(nn.Conv2d(4, 8, 3), nn.Sequential(nn.GroupNorm(2, 8), nn.SiLU()))
    before = dict(network.state_dict())
    use_channels_last(network)
    assert isinstance(network[1][0], ChannelsLastGroupNorm)
    assert network[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert network.state_dict().keys() == before.keys()
    assert all(torch.equal(network.state_dict()[name], before[name]) for name in before)
