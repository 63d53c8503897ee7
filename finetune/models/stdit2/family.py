"""STDiT2 as a model family: IDDPM, an image VAE frame by frame, T5, kernels of this package."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from finetune.config import Flow, Recipe
from finetune.errors import ConfigError
from finetune.kernels import select_ops
from finetune.models.family import (
    TINY_RANDOM,
    TINY_SEED,
    ClipConditions,
    Family,
    TensorDict,
    TextSize,
)
from finetune.models.grid import Grid
from finetune.models.stdit2.config import STDiT2Config
from finetune.models.stdit2.cost import STDiT2Cost
from finetune.models.stdit2.guidance import classifier_free_guidance
from finetune.models.stdit2.network import STDiT2
from finetune.models.stdit2.scalars import scalars_of
from finetune.models.stdit2.vae import LATENT_CHANNELS, SPATIAL_STRIDE, VAE
from finetune.models.text_encoder import TextEncoder
from finetune.models.text_states import pad_states
from finetune.objectives import IDDPM, MASK_PROBABILITIES
from finetune.objectives.base import Denoiser, Objective


class STDiT2Family(Family):
    """The denoiser of Open-Sora 1.1."""

    name = "stdit2"
    grid = Grid(pixel_multiple=SPATIAL_STRIDE, bucket_multiple=1)  # odd sizes are published ones
    cost = STDiT2Cost()
    shape_fields = ("depth", "hidden_size", "num_heads", "caption_channels")
    image_fps = 120.0
    frame_latents = True
    mask_probabilities: Mapping[str, float] = MASK_PROBABILITIES
    start_images = ("image", "last_image")

    def check(self, recipe: Recipe) -> None:
        STDiT2Config.from_network(recipe.network, text_tokens=recipe.text_tokens)
        for bucket in recipe.buckets:
            blocks = bucket.activation_checkpointing
            if blocks is not True and not 0 <= blocks <= recipe.network.depth:
                raise ConfigError(
                    f"bucket {bucket} has activation_checkpointing {blocks}: "
                    f"choose 0 to {recipe.network.depth}, the network's blocks, or true for all"
                )

    def objective(self, settings: Flow) -> Objective:
        return IDDPM()

    def new_network(self, recipe: Recipe) -> STDiT2:
        if recipe.init == "random":
            return STDiT2(STDiT2Config.from_network(recipe.network, text_tokens=recipe.text_tokens))
        return self.load_network(recipe.init)

    def load_network(
        self,
        source: Path | str,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> STDiT2:
        return STDiT2.from_pretrained(source, dtype=dtype, device=device)

    def network_config(self, network: nn.Module) -> dict[str, Any]:
        return dataclasses.asdict(cast(STDiT2, network).config)

    def blocks(self, network: nn.Module) -> Sequence[nn.Module]:
        return list(cast(STDiT2, network).blocks)

    def use_kernels(self, network: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
        cast(STDiT2, network).set_ops(select_ops(device, dtype))

    def load_codec(self, name: str, *, dtype: torch.dtype, device: torch.device) -> VAE:
        if name == TINY_RANDOM:
            return VAE.tiny_random(TINY_SEED).to(device)
        return VAE.from_pretrained(name, dtype=dtype, device=device)

    def load_caption_encoder(
        self,
        name: str,
        size: TextSize,
        captions: Callable[[], Sequence[str]],
        *,
        dtype: torch.dtype,
        device: torch.device,
    ) -> TextEncoder:
        if name != TINY_RANDOM:
            return TextEncoder.from_pretrained(name, dtype=dtype, device=device, tokens=size.tokens)
        tiny = TextEncoder.tiny_random(captions(), TINY_SEED, width=size.width, tokens=size.tokens)
        return tiny.to(device)

    def latent_shape(self, frames: int, height: int, width: int) -> tuple[int, int, int, int]:
        return LATENT_CHANNELS, frames, *VAE.latent_size(height, width)

    def text_size(self, network: nn.Module) -> TextSize:
        config = cast(STDiT2, network).config
        return TextSize(config.model_max_length, config.caption_channels)

    def collate_text(
        self, captions: Sequence[TensorDict | None], size: TextSize, device: torch.device
    ) -> dict[str, Tensor]:
        states = [None if c is None else c["states"] for c in captions]
        padded, mask = pad_states(states, size, device)
        return {"states": padded[:, None], "mask": mask}

    def denoiser(
        self,
        network: nn.Module,
        conditions: ClipConditions,
        *,
        drop: Tensor | None = None,
        activation_checkpointing: int = 0,
    ) -> Denoiser:
        states, mask = conditions.text["states"], conditions.text["mask"]
        scalars = scalars_of(conditions, states.device)

        def denoise(x: Tensor, time: Tensor, frame_mask: Tensor | None, /) -> Tensor:
            output: Tensor = network(
                x,
                time,
                states,
                mask,
                frame_mask,
                drop=drop,
                activation_checkpointing=activation_checkpointing,
                **scalars,
            )
            return output

        return denoise

    def guided_denoiser(
        self, network: nn.Module, conditions: ClipConditions, scale: float
    ) -> Denoiser:
        states = conditions.text["states"]
        return classifier_free_guidance(
            network,
            states,
            cast(STDiT2, network).y_embedder.y_embedding,
            conditions.text["mask"],
            scale=scale,
            **scalars_of(conditions, states.device),
        )


STDIT2 = STDiT2Family()
