"""The protocol of a family's cost, which `finetune plan` asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from finetune.config import Recipe


class CostModel(Protocol):
    """Arithmetic and memory of a family's network, for `finetune plan`."""

    encoder_gib: float  # memory of VAE and text encoder in the training step
    reserve_gib: float = 3.0  # context, allocator, one clip's batch
    keeps_attention: bool = False  # recomputed blocks keep the outputs of attention

    def parameters(self, recipe: Recipe) -> int:
        """Count trained parameters."""
        ...

    def blocks(self, recipe: Recipe) -> int:
        """Count the blocks that activation checkpointing can recompute."""
        ...

    def tokens(self, frames: int, height: int, width: int) -> int:
        """Count the tokens of a clip; height and width in pixels."""
        ...

    def forward_tflop(self, recipe: Recipe, frames: int, height: int, width: int) -> float:
        """Count the arithmetic of one forward pass of one clip."""
        ...

    def activation_bytes(self, recipe: Recipe) -> float:
        """Return activation memory per token, all blocks together, nothing recomputed."""
        ...

    def mfu(self, recipe: Recipe) -> float:
        """Return the share of a GPU's data-sheet rate that training reaches."""
        ...

    def is_measured(self, recipe: Recipe) -> bool:
        """Tell if speed and memory were measured for what the recipe trains."""
        return True

    def attention_mfu(self, recipe: Recipe) -> float:
        """Return the share that the arithmetic of `attention_tflop` reaches."""
        return self.mfu(recipe)

    def attention_tflop(self, recipe: Recipe, frames: int, height: int, width: int) -> float:
        """Return the part of `forward_tflop` that runs at the speed of `attention_mfu`."""
        return 0.0

    def adapter_parameters(self, recipe: Recipe, targets: Sequence[str]) -> int:
        """Count the parameters of an adapter on these layers; square ones are assumed."""
        rank = recipe.adapter.rank if recipe.adapter else 0
        return self.blocks(recipe) * len(targets) * 2 * rank * recipe.network.hidden_size

    def block_weights(self, recipe: Recipe) -> int:
        """Count the weights of the blocks' linear layers, which `adapter.base` may quantize."""
        return 0

    def kept_share(self, recipe: Recipe) -> float:
        """Return the share of a block's activations that stay when it is recomputed: its input."""
        return 0.3 / self.blocks(recipe)
