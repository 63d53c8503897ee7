"""Compile a network block by block."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

MAX_COMPILED_GRAPHS = 1024
"""Limit for a compiled block: a bucket has about 17 shapes, each with three graphs."""


def compile_blocks(blocks: Iterable[nn.Module]) -> None:
    """Compile the forward passes of blocks, which share one graph for each input shape.

    A shape has up to three graphs: with gradients, without, and with activation checkpointing.
    Hooks of a block run before and after its graph: FSDP2 and `block_offload` bring weights there.
    """
    limits = torch._dynamo.config  # default 8: fewer than the shapes of a dataset
    limits.cache_size_limit = max(MAX_COMPILED_GRAPHS, limits.cache_size_limit)
    limits.accumulated_cache_size_limit = max(
        MAX_COMPILED_GRAPHS, limits.accumulated_cache_size_limit
    )
    for block in blocks:
        if not is_compiled(block):
            compiled = torch.compile(block.forward, fullgraph=True, dynamic=False)
            block.forward = compiled


def is_compiled(block: nn.Module) -> bool:
    """Tell if `compile_blocks` compiled a block."""
    return "forward" in vars(block)
