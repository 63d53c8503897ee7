"""Estimate the cost of Wan: parameters, FLOP, activation memory and speed."""

from __future__ import annotations

from dataclasses import dataclass

from finetune.config import Recipe
from finetune.models.family import CostModel

FFN_WIDTHS = {1536: 8960, 3072: 14336, 5120: 13824}  # by hidden size: 1.3B, 5B, 14B
PATCH_CHANNELS = 64 + 64  # 16 latent channels x 2 x 2, in and out
# diffusers + peft on one H200, LoRA of 1.3B at 81 x 480 x 832, measured on 2026-11-29: 282 TFLOP/s
MFU = 282 / 989
ACTIVATION_BYTES = 34 * 2  # numbers of 16 bits per token, block and unit of width: estimated


@dataclass(frozen=True)
class WanCost(CostModel):
    """Counted from `[network]` (depth, hidden_size, num_heads); memory estimated, not measured."""

    spatial_stride: int
    encoder_gib: float = 11.5  # UMT5-XXL's encoder in bfloat16 and the VAE

    def parameters(self, recipe: Recipe) -> int:
        network = recipe.network
        d, ffn = network.hidden_size, ffn_width(network.hidden_size)
        block = 8 * d * d + 2 * d * ffn + 6 * d
        text = network.caption_channels * d + d * d
        time = 256 * d + d * d + 6 * d * d
        return network.depth * block + text + time + PATCH_CHANNELS * d

    def blocks(self, recipe: Recipe) -> int:
        return recipe.network.depth

    def tokens(self, frames: int, height: int, width: int) -> int:
        side = 2 * self.spatial_stride
        return (1 + (frames - 1) // 4) * (height // side) * (width // side)

    def forward_tflop(self, recipe: Recipe, frames: int, height: int, width: int) -> float:
        tokens, d = self.tokens(frames, height, width), recipe.network.hidden_size
        linear = 2 * tokens * (6 * d * d + 2 * d * ffn_width(d))
        text = 2 * recipe.text_tokens * 2 * d * d
        attention = 4 * tokens * d * (tokens + recipe.text_tokens)
        return recipe.network.depth * (linear + text + attention) / 1e12

    def activation_bytes(self, recipe: Recipe) -> float:
        return ACTIVATION_BYTES * recipe.network.depth * recipe.network.hidden_size

    def mfu(self, recipe: Recipe) -> float:
        return MFU


def ffn_width(hidden_size: int) -> int:
    """Return the width of the MLP of a published size, or four times the hidden size."""
    return FFN_WIDTHS.get(hidden_size, 4 * hidden_size)
