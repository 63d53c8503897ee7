"""Spatial attention: q and k normed in one kernel, then PyTorch's fused attention.

Replaces `reference.spatial_attention`. On Hopper cuDNN's attention is the fastest at head dim 72;
elsewhere PyTorch takes the first backend that it has.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from finetune.kernels import reference
from finetune.kernels import space_triton as kernels

SDPA_BACKENDS = [
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
]


def spatial_attention(qkv: Tensor, q_weight: Tensor | None, k_weight: Tensor | None) -> Tensor:
    """Compute `reference.spatial_attention`; call it for a network without norms."""
    if q_weight is None or k_weight is None:
        return reference.spatial_attention(qkv, q_weight, k_weight)
    q, k, v = (part.transpose(1, 2) for part in _split(qkv, q_weight, k_weight))
    with sdpa_kernel(SDPA_BACKENDS, set_priority=True):
        out = F.scaled_dot_product_attention(q, k, v)
    return out.transpose(1, 2).flatten(2)


_split = torch.library.custom_op(
    "finetune::split_norm",
    kernels.forward,
    mutates_args=(),
    schema="(Tensor qkv, Tensor q_weight, Tensor k_weight) -> (Tensor, Tensor, Tensor)",
)
_split_backward = torch.library.custom_op(
    "finetune::split_norm_backward",
    kernels.backward,
    mutates_args=(),
    schema="(Tensor d_q, Tensor d_k, Tensor d_v, Tensor qkv, Tensor q_weight, Tensor k_weight)"
    " -> (Tensor, Tensor, Tensor)",
)


@torch.library.register_fake("finetune::split_norm")
def _(qkv: Tensor, *_rest: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    shape = (*qkv.shape[:2], *qkv.shape[3:])
    return qkv.new_empty(shape), qkv.new_empty(shape), qkv.new_empty(shape)


@torch.library.register_fake("finetune::split_norm_backward")
def _(
    d_q: Tensor, d_k: Tensor, d_v: Tensor, qkv: Tensor, q_weight: Tensor, k_weight: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    d_qkv = torch.empty_like(qkv, memory_format=torch.contiguous_format)
    return d_qkv, torch.empty_like(q_weight), torch.empty_like(k_weight)


def _setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, d_q: Tensor, d_k: Tensor, d_v: Tensor) -> tuple[Tensor, ...]:
    gradients: tuple[Tensor, ...] = _split_backward(d_q, d_k, d_v, *ctx.saved_tensors)
    return gradients


_split.register_autograd(_backward, setup_context=_setup_context)
