"""Estimate the cost of LTX-Video 0.9: parameters, FLOP, activation memory and speed."""

from __future__ import annotations

from dataclasses import dataclass

from finetune.config import Recipe
from finetune.models.family import CostModel

SIDE, FRAMES = 32, 8  # pixels and frames of a token
CHANNELS = 128
MFU = 0.28  # as diffusers and peft reach with Wan: estimated
ACTIVATION_BYTES = 34 * 2  # numbers of 16 bits per token, block and unit of width: estimated


@dataclass(frozen=True)
class LTXCost(CostModel):
    """Counted from `[network]` (depth, hidden_size, num_heads); memory and speed estimated."""

    encoder_gib: float = 9.4  # T5-XXL's encoder in bfloat16 and the VAE

    def parameters(self, recipe: Recipe) -> int:
        network = recipe.network
        d = network.hidden_size
        ends = network.caption_channels * d + d * d + 2 * CHANNELS * d + 256 * d + 7 * d * d
        return network.depth * (16 * d * d + 6 * d) + ends

    def blocks(self, recipe: Recipe) -> int:
        return recipe.network.depth

    def tokens(self, frames: int, height: int, width: int) -> int:
        return (1 + (frames - 1) // FRAMES) * (height // SIDE) * (width // SIDE)

    def forward_tflop(self, recipe: Recipe, frames: int, height: int, width: int) -> float:
        tokens, d = self.tokens(frames, height, width), recipe.network.hidden_size
        linear = 2 * tokens * 14 * d * d + 2 * recipe.text_tokens * 2 * d * d
        attention = 4 * tokens * d * (tokens + recipe.text_tokens)
        return recipe.network.depth * (linear + attention) / 1e12

    def activation_bytes(self, recipe: Recipe) -> float:
        return ACTIVATION_BYTES * recipe.network.depth * recipe.network.hidden_size

    def mfu(self, recipe: Recipe) -> float:
        return MFU
