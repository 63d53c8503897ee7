"""Recompute blocks of a diffusers network in the backward pass, but not their attention."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts

import finetune.kernels.flash_attention  # noqa: F401  # registers its operation

KEPT_OPERATIONS = [  # dear to recompute, small to keep: attention over all tokens of a clip
    torch.ops.aten._scaled_dot_product_flash_attention.default,
    torch.ops.aten._scaled_dot_product_cudnn_attention.default,
    torch.ops.aten._scaled_dot_product_efficient_attention.default,
    torch.ops.finetune.flash_attention.default,
]


def recompute_blocks(network: nn.Module, blocks: Sequence[nn.Module], count: int) -> None:
    """Set how many of the first blocks are recomputed; 0 keeps all activations."""
    wrapped: Any = network
    wrapped.gradient_checkpointing = count > 0
    if count > 0:
        recomputed = {id(block) for block in blocks[:count]}

        def call(block: nn.Module, *given: Any) -> Any:
            if id(block) not in recomputed:
                return block(*given)
            compiled = getattr(block, "_compiled_call_impl", None) is not None
            fused = compiled and not hasattr(block, "unshard")  # FSDP2 gathers in the block's hooks
            return (_compiled_checkpoint() if fused else _checkpoint)(block, *given)

        wrapped._gradient_checkpointing_func = call


def _checkpoint(call: Callable[..., Any], *given: Any) -> Any:
    """Call a block without keeping its activations, apart from attention's outputs."""
    contexts = partial(create_selective_checkpoint_contexts, KEPT_OPERATIONS)
    return checkpoint(call, *given, use_reentrant=False, context_fn=contexts)


def _checkpoint_forward(block: nn.Module, *given: Any) -> Any:
    return _checkpoint(block.forward, *given)


@cache
def _compiled_checkpoint() -> Callable[..., Any]:
    """Return block and checkpoint compiled as one: a compiled block hides its operations."""
    compiled: Callable[..., Any] = torch.compile(_checkpoint_forward, fullgraph=True, dynamic=False)
    return compiled
