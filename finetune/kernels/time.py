"""Temporal attention as one kernel each way: replaces `reference.temporal_attention`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from finetune.kernels import reference
from finetune.kernels import time_triton as kernels
from finetune.kernels.reference import RotaryTable

MAX_TILE_FRAMES = 128  # frames that fit into one tile


def temporal_attention(
    qkv: Tensor, q_weight: Tensor | None, k_weight: Tensor | None, rotation: RotaryTable
) -> Tensor:
    """Compute `reference.temporal_attention`; call it for long clips and networks without norms."""
    frames = qkv.shape[1]
    if q_weight is None or k_weight is None or frames > MAX_TILE_FRAMES:
        return reference.temporal_attention(qkv, q_weight, k_weight, rotation)
    if frames == 1:  # one frame attends to itself: v; the norms still get a gradient of zero
        return qkv[:, :, :, 2].flatten(3) + 0 * (q_weight.sum() + k_weight.sum())
    out: Tensor = _attention(qkv, q_weight, k_weight, *rotation)
    return out


_attention = torch.library.custom_op(
    "finetune::time_attention",
    kernels.forward,
    mutates_args=(),
    schema="(Tensor qkv, Tensor q_weight, Tensor k_weight, Tensor cos, Tensor sin) -> Tensor",
)
_attention_backward = torch.library.custom_op(
    "finetune::time_attention_backward",
    kernels.backward,
    mutates_args=(),
    schema="(Tensor d_out, Tensor qkv, Tensor q_weight, Tensor k_weight, Tensor cos, Tensor sin)"
    " -> (Tensor, Tensor, Tensor)",
)


@torch.library.register_fake("finetune::time_attention")
def _(qkv: Tensor, *_rest: Tensor) -> Tensor:
    return qkv.new_empty((*qkv.shape[:3], qkv.shape[4] * qkv.shape[5]))


@torch.library.register_fake("finetune::time_attention_backward")
def _(
    d_out: Tensor, qkv: Tensor, q_weight: Tensor, k_weight: Tensor, *_rest: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    d_qkv = torch.empty_like(qkv, memory_format=torch.contiguous_format)
    return d_qkv, torch.empty_like(q_weight), torch.empty_like(k_weight)


def _setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, d_out: Tensor) -> tuple[Tensor | None, ...]:
    return *_attention_backward(d_out, *ctx.saved_tensors), None, None


_attention.register_autograd(_backward, setup_context=_setup_context)
