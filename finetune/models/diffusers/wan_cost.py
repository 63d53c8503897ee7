"""Count the parameters of Wan, for `finetune plan`."""

from __future__ import annotations

from dataclasses import dataclass

from finetune.config import Recipe
from finetune.models.diffusers.transformer_cost import TransformerCost

FFN_WIDTHS = {1536: 8960, 3072: 14336, 5120: 13824}  # by hidden size: 1.3B, 5B, 14B


@dataclass(frozen=True, kw_only=True)
class WanCost(TransformerCost):
    """Cost of a Wan network, whose latents have `channels` channels."""

    channels: int = 16
    frame_stride: int = 4
    encoder_gib: float = 11.5  # UMT5-XXL's encoder and the VAE

    def is_measured(self, recipe: Recipe) -> bool:
        return recipe.adapter is not None and self.channels == 16

    def ffn_width(self, recipe: Recipe) -> int:
        """Return the width of the MLP of a published size, or four times the hidden size."""
        d = recipe.network.hidden_size
        return FFN_WIDTHS.get(d, 4 * d)

    def parameters(self, recipe: Recipe) -> int:
        network = recipe.network
        d, ffn = network.hidden_size, self.ffn_width(recipe)
        block = 8 * d * d + 2 * d * ffn + 6 * d
        text = network.caption_channels * d + d * d
        time = 256 * d + d * d + 6 * d * d
        patches = 2 * 4 * self.channels  # 2 x 2 latents, in and out
        return network.depth * block + text + time + patches * d
