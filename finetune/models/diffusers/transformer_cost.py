"""Estimate the cost of a video transformer of diffusers, with or without an adapter.

Speed and memory were measured with LoRA of Wan on one H200 by cuDNN's attention (2026-11-30).
FlashAttention-4 (extra `flash`) makes a step there 9 to 12 % shorter (docs/performance.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from finetune.config import Recipe
from finetune.models.cost_model import CostModel

# TFLOP/s of linear layers and of attention that give 1.802 and 1.943 s a step of 1.3B at 81 frames
# (nothing recomputed; all linear layers recomputed), as shares of 989. They give 5.1 s for the 4.90
# of 14B at 49 frames.
COMPILED_MFU, COMPILED_ATTENTION_MFU = 582 / 989, 397 / 989
PLAIN_MFU = 387 / 989  # diffusers and peft as their examples run them: 2.713 s
# bytes per token, block and unit of width: 67.1 GiB of 1.3B at 81 frames, nothing recomputed
ACTIVATION_BYTES = 44.9
# of a recomputed block's activations, its input and the outputs of attention stay: 13.8 GiB of
# 1.3B, and 55.5 of 14B at 49 frames
KEPT_SHARE = 0.125
INPUT_SHARE = 0.045  # its input alone: 2 bytes of 44.9; 16.8 GiB of 14B, with its weights offloaded


@dataclass(frozen=True, kw_only=True)
class TransformerCost(CostModel):
    """Counted from `[network]` (depth, hidden_size, num_heads)."""

    frame_stride: int  # frames of a token, but the first
    side: int  # pixels of a token
    encoder_gib: float  # text encoder in bfloat16, and VAE
    reserve_gib = 1.0
    keeps_attention = True

    def is_measured(self, recipe: Recipe) -> bool:
        return False

    def ffn_width(self, recipe: Recipe) -> int:
        """Return the width of a block's MLP."""
        return 4 * recipe.network.hidden_size

    def blocks(self, recipe: Recipe) -> int:
        return recipe.network.depth

    def adapter_parameters(self, recipe: Recipe, targets: Sequence[str]) -> int:
        d, ffn = recipe.network.hidden_size, self.ffn_width(recipe)
        sides = sum(d + ffn if ".net." in target else 2 * 2 * d for target in targets)
        return recipe.network.depth * sides * (recipe.adapter.rank if recipe.adapter else 0)

    def block_weights(self, recipe: Recipe) -> int:
        d = recipe.network.hidden_size
        return recipe.network.depth * (8 * d * d + 2 * d * self.ffn_width(recipe))

    def tokens(self, frames: int, height: int, width: int) -> int:
        latents = 1 + (frames - 1) // self.frame_stride
        return latents * (height // self.side) * (width // self.side)

    def forward_tflop(self, recipe: Recipe, frames: int, height: int, width: int) -> float:
        tokens, d = self.tokens(frames, height, width), recipe.network.hidden_size
        linear = 2 * tokens * (6 * d * d + 2 * d * self.ffn_width(recipe))
        text = 2 * recipe.text_tokens * 2 * d * d
        attention = self.attention_tflop(recipe, frames, height, width)
        return recipe.network.depth * (linear + text) / 1e12 + attention

    def attention_tflop(self, recipe: Recipe, frames: int, height: int, width: int) -> float:
        tokens, network = self.tokens(frames, height, width), recipe.network
        pairs = tokens * (tokens + recipe.text_tokens)
        return network.depth * 4 * network.hidden_size * pairs / 1e12

    def activation_bytes(self, recipe: Recipe) -> float:
        return ACTIVATION_BYTES * recipe.network.depth * recipe.network.hidden_size

    def kept_share(self, recipe: Recipe) -> float:
        return KEPT_SHARE if recipe.keep_attention else INPUT_SHARE

    def mfu(self, recipe: Recipe) -> float:
        return COMPILED_MFU if recipe.compile else PLAIN_MFU

    def attention_mfu(self, recipe: Recipe) -> float:
        return COMPILED_ATTENTION_MFU if recipe.compile else PLAIN_MFU
