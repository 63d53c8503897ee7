"""Count the parameters of LTX-Video 0.9, for `finetune plan`; its speed and memory are Wan's."""

from __future__ import annotations

from dataclasses import dataclass

from finetune.config import Recipe
from finetune.models.diffusers.transformer_cost import TransformerCost

CHANNELS = 128


@dataclass(frozen=True, kw_only=True)
class LTXCost(TransformerCost):
    """Cost of an LTX-Video network."""

    frame_stride: int = 8
    side: int = 32
    encoder_gib: float = 9.4  # T5-XXL's encoder and the VAE

    def parameters(self, recipe: Recipe) -> int:
        network = recipe.network
        d = network.hidden_size
        ends = network.caption_channels * d + d * d + 2 * CHANNELS * d + 256 * d + 7 * d * d
        return network.depth * (16 * d * d + 6 * d) + ends
