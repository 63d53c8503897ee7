"""Wan's attention in operations that the compiler joins into few kernels, by FlashAttention-4."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from diffusers.models.attention_dispatch import dispatch_attention_fn
from torch import Tensor, nn

from finetune.kernels.flash_attention import flash_attention


class JoinedAttention:
    """Attention of [B, N, width] tokens, as diffusers' WanAttnProcessor computes it.

    That one writes every second channel of a new tensor, for which the compiler makes three passes
    over queries and keys instead of one.
    """

    _attention_backend: Any = None  # set by diffusers' `set_attention_backend`
    _parallel_config: Any = None

    def __init__(self, *, flash: bool) -> None:
        self.flash = flash

    def __call__(
        self,
        attention: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: None = None,
        rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        source = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        projections = (
            attention.norm_q(attention.to_q(hidden_states)),
            attention.norm_k(attention.to_k(source)),
            attention.to_v(source),
        )
        query, key, value = (x.unflatten(2, (attention.heads, -1)) for x in projections)
        if rotary_emb is not None:
            query, key = (rotate_pairs(x, *rotary_emb) for x in (query, key))
        attended = self._attend(query, key, value).flatten(2, 3)
        projected: Tensor = attention.to_out[0](attended.type_as(query))
        return projected

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        if self.flash:
            return flash_attention(query, key, value)
        plain = partial(dispatch_attention_fn, backend=self._attention_backend)
        attended: Tensor = plain(query, key, value)
        return attended


def rotate_pairs(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate pairs of neighbouring channels of x [B, N, heads, D]; cos, sin: [1, N, 1, D]."""
    even, odd = x.reshape(*x.shape[:-1], -1, 2).unbind(-1)
    turned = torch.stack((-odd, even), -1).flatten(-2)
    return (x * cos + turned * sin).type_as(x)


def use_joined_attention(network: nn.Module, *, flash: bool) -> None:
    """Replace each attention of a Wan network that has no keys of images."""
    for part in network.modules():
        if getattr(part, "add_k_proj", 0) is None:
            part.processor = JoinedAttention(flash=flash)  # type: ignore[assignment]
