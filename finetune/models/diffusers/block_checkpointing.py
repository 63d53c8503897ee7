"""Recompute blocks of a diffusers network in the backward pass, but not their attention."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from types import MethodType
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts

import finetune.kernels.flash_attention  # noqa: F401  # registers its operation
from finetune.models.compile_blocks import is_compiled

KEPT_OPERATIONS = [  # dear to recompute, small to keep: attention over all tokens of a clip
    torch.ops.aten._scaled_dot_product_flash_attention.default,
    torch.ops.aten._scaled_dot_product_cudnn_attention.default,
    torch.ops.aten._scaled_dot_product_efficient_attention.default,
    torch.ops.finetune.flash_attention.default,
]


def recompute_blocks(network: nn.Module, blocks: Sequence[nn.Module], count: int) -> None:
    """Set how many of the first blocks are recomputed; 0 keeps all activations.

    With `network.keep_attention` false, their attention is recomputed too. A block's hooks run
    around its recomputed forward pass, once in a step.
    """
    wrapped: Any = network
    keep_attention = getattr(network, "keep_attention", True)
    wrapped.gradient_checkpointing = count > 0
    if count > 0:
        recomputed = {id(block) for block in blocks[:count]}

        def call(block: nn.Module, *given: Any) -> Any:
            if id(block) not in recomputed:
                return block(*given)
            with _recomputed_forward(block, keep_attention=keep_attention):
                return block(*given)

        wrapped._gradient_checkpointing_func = call


@contextmanager
def _recomputed_forward(block: nn.Module, *, keep_attention: bool) -> Iterator[None]:
    """Replace a block's forward pass by one that keeps no activations, or attention's outputs."""
    before = vars(block).get("forward")
    call = _checkpoint if keep_attention else _checkpoint_whole
    plain = MethodType(type(block).forward, block)
    recomputed = _compiled(call) if is_compiled(block) else call
    block.forward = partial(recomputed, plain)
    try:
        yield
    finally:
        del block.forward
        if before is not None:
            block.forward = before


def _checkpoint(forward: Callable[..., Any], *given: Any) -> Any:
    contexts = partial(create_selective_checkpoint_contexts, KEPT_OPERATIONS)
    return checkpoint(forward, *given, use_reentrant=False, context_fn=contexts)


def _checkpoint_whole(forward: Callable[..., Any], *given: Any) -> Any:
    return checkpoint(forward, *given, use_reentrant=False)


@cache
def _compiled(call: Callable[..., Any]) -> Callable[..., Any]:
    """Return block and checkpoint compiled as one: a compiled block hides its operations."""
    compiled: Callable[..., Any] = torch.compile(call, fullgraph=True, dynamic=False)
    return compiled
