"""Attention to the text as sequences of unequal length: a drop-in for `reference.text_attention`.

Only real tokens are keys, so nothing is computed for padding. A clip's many queries are split in
groups, each a sequence with its own copy of the keys: the backward runs in parallel over sequences
and heads, and one clip alone would leave most of the chip idle.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.attention.varlen import varlen_attn

GROUP = 1024  # queries of a sequence, at least


class PackedText(NamedTuple):
    """Where the real tokens stand, for G sequences a clip; made once a step for all blocks."""

    order: Tensor  # [B * G * L] rows of the keys' copies, real tokens first
    back: Tensor  # [B * G * L] its inverse
    real: Tensor  # [B * G * L] bool, of the packed rows
    query_starts: Tensor  # [B * G + 1] int32
    key_starts: Tensor  # [B * G + 1] int32
    groups: int


def lay_out_text(mask: Tensor, queries: int) -> PackedText:
    """mask [B, L] bool, any pattern; queries of a clip, T * S."""
    groups = group_count(queries)
    copies = mask[:, None].expand(-1, groups, -1)
    order = torch.argsort(copies.flatten().logical_not().byte(), stable=True)
    lengths = copies.sum(2).flatten()
    each = queries // groups
    sequences = torch.arange(len(lengths) + 1, device=mask.device, dtype=torch.int32)
    keys = torch.nn.functional.pad(lengths.cumsum(0), (1, 0)).to(torch.int32)
    real = torch.arange(len(order), device=mask.device) < lengths.sum()
    return PackedText(order, order.argsort(), real, sequences * each, keys, groups)


def text_attention(q: Tensor, kv: Tensor, text: PackedText) -> Tensor:
    """See `reference.text_attention`; `text` is `lay_out_text`'s in the place of the mask."""
    batch, queries, heads, dim = q.shape
    length = kv.shape[1]
    copies = kv[:, None].expand(-1, text.groups, -1, -1, -1, -1).reshape(-1, 2, heads, dim)
    # rows past the last token are not written in the backward: `where` keeps them out of it
    rows: Tensor = _Reordered.apply(copies, text.order, text.back)
    packed = torch.where(text.real[:, None, None, None], rows, 0)
    k, v = packed.unbind(1)
    out = varlen_attn(
        q.reshape(-1, heads, dim),
        k.contiguous(),
        v.contiguous(),
        text.query_starts,
        text.key_starts,
        queries // text.groups,
        length,
    )
    assert isinstance(out, Tensor)
    return out.view(batch, queries, heads * dim)


class _Reordered(torch.autograd.Function):
    """rows[order]; since it is a permutation, its gradient is gathered too, not scattered."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, order: Tensor, back: Tensor) -> Tensor:
        ctx.save_for_backward(back)
        return rows[order]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (back,) = ctx.saved_tensors
        return gradient[back], None, None


def group_count(queries: int) -> int:
    """The most equal groups of at least `GROUP` queries."""
    return max(n for n in range(1, max(1, queries // GROUP) + 1) if queries % n == 0)
