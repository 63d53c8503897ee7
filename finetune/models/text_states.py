"""Batch text states of unequal length."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from finetune.errors import ConfigError
from finetune.models.family import TensorDict, TextSize
from finetune.tensors import copy_float32


def pad_states(
    states: Sequence[Tensor | None], size: TextSize, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return states [B, L, C] float32, zeros after a text's end, and their mask [B, L] bool.

    states: [tokens, C] each; None is one token of zeros, for a sample without text.
    """
    padded = torch.zeros(len(states), *size, device=device)
    mask = torch.zeros(len(states), size.tokens, dtype=torch.bool, device=device)
    for number, state in enumerate(states):
        if state is not None and state.shape[1] != size.width:
            raise ConfigError(
                f"text states of width {state.shape[1]}, network.caption_channels is {size.width}: "
                "make them the same"
            )
        tokens = 1 if state is None else len(state)
        if tokens > size.tokens:
            raise ConfigError(
                f"text states of {tokens} tokens, text_tokens is {size.tokens}: make them the same"
            )
        if state is not None:
            padded[number, :tokens] = copy_float32(state, device)
        mask[number, :tokens] = True
    return padded, mask


def drop_text(text: TensorDict, null_text: TensorDict, drop: Tensor | None) -> dict[str, Tensor]:
    """Replace the text states of dropped captions [B] by the null text's [1, ...]."""
    if drop is None:
        return dict(text)
    return {
        name: torch.where(drop.view(-1, *[1] * (value.ndim - 1)), null_text[name], value)
        for name, value in text.items()
    }
