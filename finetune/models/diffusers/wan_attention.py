"""Compute Wan's self-attention in operations that the compiler joins into few kernels."""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.attention_dispatch import dispatch_attention_fn
from torch import Tensor, nn


class RotaryAttention:
    """Attention of [B, N, width] tokens to each other, as diffusers' WanAttnProcessor computes it.

    That one writes every second channel of a new tensor, for which the compiler makes three passes
    over queries and keys instead of one.
    """

    _attention_backend: Any = None  # set by diffusers' `set_attention_backend`
    _parallel_config: Any = None

    def __call__(
        self,
        attention: Any,
        hidden_states: Tensor,
        encoder_hidden_states: None = None,
        attention_mask: None = None,
        rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        query, key, value = (
            projection.unflatten(2, (attention.heads, -1))
            for projection in (
                attention.norm_q(attention.to_q(hidden_states)),
                attention.norm_k(attention.to_k(hidden_states)),
                attention.to_v(hidden_states),
            )
        )
        if rotary_emb is not None:
            query, key = (rotate_pairs(x, *rotary_emb) for x in (query, key))
        attended: Tensor = dispatch_attention_fn(
            query, key, value, backend=self._attention_backend, parallel_config=None
        )
        projected: Tensor = attention.to_out[0](attended.flatten(2, 3).type_as(query))
        return projected


def rotate_pairs(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate pairs of neighbouring channels of x [B, N, heads, D]; cos, sin: [1, N, 1, D]."""
    even, odd = x.reshape(*x.shape[:-1], -1, 2).unbind(-1)
    turned = torch.stack((-odd, even), -1).flatten(-2)
    return (x * cos + turned * sin).type_as(x)


def use_rotary_attention(network: nn.Module) -> None:
    """Replace the self-attention of each block of a Wan network."""
    for block in network.get_submodule("blocks").children():
        block.get_submodule("attn1").processor = RotaryAttention()  # type: ignore[assignment]
