"""Hyperparameters of an STDiT2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from finetune.config import Network
from finetune.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class STDiT2Config:
    """Hyperparameters of the network; the defaults are the published XL/2."""

    depth: int = 28
    hidden_size: int = 1152
    num_heads: int = 16
    mlp_ratio: float = 4.0
    in_channels: int = 4
    caption_channels: int = 4096
    model_max_length: int = 200  # text tokens
    input_sq_size: int = 512  # image side in pixels to which position embeddings are scaled
    patch_size: tuple[int, int, int] = (1, 2, 2)
    qk_norm: bool = True
    class_dropout_prob: float = 0.1  # share of captions replaced by the null text in training
    round_scalars: bool = True  # to the weights' dtype before the sinusoids, as published

    def __post_init__(self) -> None:
        object.__setattr__(self, "patch_size", tuple(self.patch_size))
        if self.patch_size[0] != 1:
            raise ConfigError(f"patch_size {self.patch_size}: the first number must be 1")
        if self.hidden_size % (2 * self.num_heads) or self.hidden_size % 12:
            raise ConfigError(
                f"hidden_size {self.hidden_size} must be a multiple of 12 and of twice "
                f"num_heads ({self.num_heads}): change one of the two"
            )

    @classmethod
    def from_network(cls, network: Network, *, text_tokens: int) -> Self:
        """Build from a recipe's table `network`; raise ConfigError for impossible sizes."""
        return cls(
            depth=network.depth,
            hidden_size=network.hidden_size,
            num_heads=network.num_heads,
            caption_channels=network.caption_channels,
            model_max_length=text_tokens,
            round_scalars=network.round_scalars,
        )

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_heads

    @property
    def out_channels(self) -> int:
        return 2 * self.in_channels  # noise, then variance
