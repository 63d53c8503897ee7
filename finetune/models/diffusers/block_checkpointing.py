"""Recompute some blocks of a diffusers network in the backward pass."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint


def recompute_blocks(network: nn.Module, count: int) -> None:
    """Set how many of the first blocks are recomputed; 0 keeps all activations."""
    wrapped: Any = network
    wrapped.gradient_checkpointing = count > 0
    if count > 0:
        blocks = list(network.get_submodule("blocks").children())
        recomputed = {id(block) for block in blocks[:count]}

        def call(block: nn.Module, *given: Any) -> Any:
            if id(block) in recomputed:
                return checkpoint(block, *given, use_reentrant=False)
            return block(*given)

        wrapped._gradient_checkpointing_func = call
