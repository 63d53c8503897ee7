"""Text cross-attention as fused kernels: replaces `reference.text_attention`.

Only real tokens are keys, so nothing is computed for padding, and a clip's few keys are read by
each of its many queries instead of being copied.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from finetune.kernels import text_triton as kernels


class PackedText(NamedTuple):
    """Positions of the real tokens, computed once per step for all blocks."""

    order: Tensor  # [B, L] int32, row numbers of a clip's text, real tokens first
    lengths: Tensor  # [B] int32, number of real tokens


def lay_out_text(mask: Tensor) -> PackedText:
    """Pack a mask [B, L] bool of any pattern."""
    order = torch.argsort(mask.logical_not().byte(), dim=1, stable=True)
    return PackedText(order.to(torch.int32), mask.sum(1, dtype=torch.int32))


def text_attention(q: Tensor, kv: Tensor, text: PackedText) -> Tensor:
    """Compute `reference.text_attention`, with `lay_out_text`'s result in place of the mask."""
    out: Tensor = _attention(q, kv, *text)[0]
    return out.flatten(2)


_attention = torch.library.custom_op(
    "finetune::text_attention",
    kernels.forward,
    mutates_args=(),
    schema="(Tensor q, Tensor kv, Tensor order, Tensor lengths) -> (Tensor, Tensor)",
)
_attention_backward = torch.library.custom_op(
    "finetune::text_attention_backward",
    kernels.backward,
    mutates_args=(),
    schema="(Tensor d_out, Tensor q, Tensor kv, Tensor order, Tensor lengths, Tensor out,"
    " Tensor log_sum) -> (Tensor, Tensor)",
)


@torch.library.register_fake("finetune::text_attention")
def _(q: Tensor, *_rest: Tensor) -> tuple[Tensor, Tensor]:
    batch, queries, heads, _ = q.shape
    log_sum = q.new_empty((batch, heads, queries), dtype=torch.float32)
    return torch.empty_like(q, memory_format=torch.contiguous_format), log_sum


@torch.library.register_fake("finetune::text_attention_backward")
def _(_d_out: Tensor, q: Tensor, kv: Tensor, *_rest: Tensor) -> tuple[Tensor, Tensor]:
    layout = torch.contiguous_format
    return torch.empty_like(q, memory_format=layout), torch.empty_like(kv, memory_format=layout)


def _setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs, *output)


def _backward(ctx: Any, d_out: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    return *_attention_backward(d_out, *ctx.saved_tensors), None, None


_attention.register_autograd(_backward, setup_context=_setup_context)
