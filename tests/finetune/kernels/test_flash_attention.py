"""FlashAttention-4 as operations: its shapes without a GPU, its values on one."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from finetune.kernels.flash_attention import flash_attention, flash_available

ROUNDING = 1.1  # times the error of PyTorch's own attention in bfloat16


@pytest.mark.parametrize(
    ("capability", "head_dim"), [(8, 128), (9, 12), (12, 128)], ids=["A100", "tiny", "RTX 50"]
)
def test_a_gpu_or_width_without_kernels_does_not_use_it(capability: int, head_dim: int) -> None:
    assert not flash_available(capability, head_dim)


def test_shapes_are_known_without_computing() -> None:
    with FakeTensorMode():
        q, k, v = (torch.empty(2, n, 3, 64) for n in (10, 7, 7))
        parts = [x.requires_grad_() for x in (q, k, v)]
        out = flash_attention(*parts)
        gradients = torch.autograd.grad(out.sum(), parts)
    assert out.shape == q.shape
    assert [g.shape for g in gradients] == [x.shape for x in parts]


@pytest.mark.gpu
@pytest.mark.skipif(
    not (
        torch.cuda.is_available()
        and flash_available(torch.cuda.get_device_capability()[0], head_dim=128)
    ),
    reason="needs flash-attn-4 and a Hopper GPU",
)
@pytest.mark.parametrize("keys", [777, 96])
@pytest.mark.parametrize("compiled", [False, True])
def test_values_and_gradients_are_as_close_as_those_of_pytorch(keys: int, compiled: bool) -> None:
    generator = torch.Generator("cuda").manual_seed(2)
    sizes = (777, keys, keys, 777)
    *parts, upstream = (
        torch.randn(1, n, 4, 128, device="cuda", generator=generator).bfloat16() for n in sizes
    )
    ours = torch.compile(flash_attention) if compiled else flash_attention
    exact = results(plain_attention, [x.float() for x in parts], upstream.float())
    plain = results(plain_attention, parts, upstream)
    for wanted, usual, found in zip(exact, plain, results(ours, parts, upstream), strict=True):
        assert (found - wanted).norm() <= ROUNDING * (usual - wanted).norm()


def plain_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    heads_first = (x.transpose(1, 2) for x in (q, k, v))
    return torch.nn.functional.scaled_dot_product_attention(*heads_first).transpose(1, 2)


def results(
    attention: Callable[..., Tensor], parts: list[Tensor], upstream: Tensor
) -> list[Tensor]:
    parts = [x.detach().requires_grad_() for x in parts]
    out = attention(*parts)
    return [out, *torch.autograd.grad(out, parts, upstream)]
