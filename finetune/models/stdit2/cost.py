"""Estimate the cost of STDiT2: parameters, FLOP, activation memory, and measured speed."""

from __future__ import annotations

from dataclasses import dataclass

from finetune.config import Recipe
from finetune.models.cost_model import CostModel
from finetune.models.stdit2.vae import SPATIAL_STRIDE

XL2_DEPTH, XL2_WIDTH = 28, 1152


@dataclass(frozen=True)
class MeasuredSpeed:
    """Speed of XL/2 in bfloat16 on one H200: 360p, micro-batches of 1, no recomputation."""

    mfu: float  # share of the data sheet's FLOP/s
    activation_bytes_per_token: int


# 3.08 clips/s of 32 frames and 1.54 of 64 on 2026-11-26: 51 % of the 785 TFLOP/s that a large
# matrix product reaches there, 41 % of the data sheet's; peaks of 71.1 and 126.7 GiB.
WITH_KERNELS = MeasuredSpeed(0.41, 1_980_000)
WITHOUT_KERNELS = MeasuredSpeed(0.24, 2_260_000)  # PyTorch's operations, blocks compiled


class STDiT2Cost(CostModel):
    """Counted from the network's shape; speed and activations measured (docs/performance.md)."""

    encoder_gib = 9.4  # T5 XXL and the VAE in the step: 80.5 of 71.1 GiB on 2026-11-26

    def parameters(self, recipe: Recipe) -> int:
        """Count trained parameters; 767,452,064 for XL/2."""
        network = recipe.network
        d, text = network.hidden_size, network.caption_channels
        block = 2 * (4 * d * d + 4 * d) + 4 * (d // network.num_heads)  # two self-attentions
        block += 4 * d * d + 4 * d  # cross-attention
        block += 8 * d * d + 5 * d + 9 * d  # MLP, modulation tables
        third = d // 3
        small = 2 * (256 * third + third + third * third + third)
        large = 3 * (256 * d + d + d * d + d) + 9 * (d * d + d)
        ends = 16 * d + d + 32 * d + 32 + 2 * d + text * d + d + d * d + d
        return network.depth * block + small + large + ends

    def blocks(self, recipe: Recipe) -> int:
        return recipe.network.depth

    def tokens(self, frames: int, height: int, width: int) -> int:
        return frames * patches_per_frame(height, width)

    def forward_tflop(self, recipe: Recipe, frames: int, height: int, width: int) -> float:
        patches = patches_per_frame(height, width)
        tokens, d = frames * patches, recipe.network.hidden_size
        linear = 2 * tokens * 18 * d * d  # two self-attentions, cross-attention, MLP
        attention = 4 * tokens * d * (patches + frames + recipe.text_tokens)
        text = 2 * recipe.text_tokens * 2 * d * d
        return recipe.network.depth * (linear + attention + text) / 1e12

    def activation_bytes(self, recipe: Recipe) -> float:
        share = recipe.network.depth * recipe.network.hidden_size / (XL2_DEPTH * XL2_WIDTH)
        return share * measured_speed(recipe).activation_bytes_per_token

    def mfu(self, recipe: Recipe) -> float:
        return measured_speed(recipe).mfu


def patches_per_frame(height: int, width: int) -> int:
    """Count the patches of a frame; odd latent sides are padded to even ones."""
    return -(-(height // SPATIAL_STRIDE) // 2) * -(-(width // SPATIAL_STRIDE) // 2)


def measured_speed(recipe: Recipe) -> MeasuredSpeed:
    """Return the speed measured with the recipe's kernels, or without."""
    return WITH_KERNELS if recipe.kernels and recipe.compile else WITHOUT_KERNELS
