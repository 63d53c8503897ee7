"""What the network is shown and told of a micro-batch, from the cache or from pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from finetune.config import Recipe
from finetune.data.conditioning import Conditioning, conditioning
from finetune.data.encoders import load_text_encoder, load_vae
from finetune.data.index import Index
from finetune.data.loader import Batch, Sample
from finetune.errors import CacheError
from finetune.models.stdit2.network import STDiT2
from finetune.models.stdit2.vae import VAE
from finetune.objectives import Denoiser


@dataclass(frozen=True)
class ModelInputs:
    """B clips on the device."""

    mean: Tensor  # [B, 4, T, h, w]: a latent is mean + std * noise
    std: Tensor
    text: Tensor  # [B, 1, L, C]
    mask: Tensor  # [B, L] bool
    conditioning: Conditioning
    activation_checkpointing: int  # blocks that the backward runs again

    def denoiser(self, model: STDiT2, drop: Tensor) -> Denoiser:
        """The network with this text and these scalars bound; `drop` [B] takes captions away."""

        def denoise(x: Tensor, timestep: Tensor, frame_mask: Tensor | None, /) -> Tensor:
            output: Tensor = model(
                x,
                timestep,
                self.text,
                self.mask,
                frame_mask,
                drop=drop,
                activation_checkpointing=self.activation_checkpointing,
                **self.conditioning,
            )
            return output

        return denoise


class BatchEncoder:
    """Micro-batches to `ModelInputs`; the encoders are loaded only if the recipe trains on pixels."""

    def __init__(self, recipe: Recipe, index: Index, device: torch.device) -> None:
        self.recipe, self.device = recipe, device
        online = recipe.latents == "online"
        self.vae = load_vae(recipe, device) if online else None
        self.text_encoder = load_text_encoder(recipe, index, device) if online else None
        if self.vae and self.text_encoder and recipe.compile:
            self.vae.compile_network()
            self.text_encoder.compile_network()

    def read(self, batch: Batch) -> Batch:
        """With the captions' states: read together they take a fraction of the time."""
        if self.text_encoder is None or all(sample.states is not None for sample in batch.samples):
            return batch
        read = self.text_encoder.encode([sample.caption for sample in batch.samples])
        states = (one[:tokens] for one, tokens in zip(read.states, read.lengths, strict=True))
        pairs = zip(batch.samples, states, strict=True)
        return replace(batch, samples=tuple(sample._replace(states=one) for sample, one in pairs))

    def __call__(self, micro: Batch) -> ModelInputs:
        micro = self.read(micro)
        mean, std = self._latent_mean_and_std(micro)
        text, mask = self._text(micro)
        activation_checkpointing = self.recipe.checkpointed_blocks(micro.spec.aspect_bucket.bucket)
        return ModelInputs(
            mean, std, text, mask, self._conditioning(micro), activation_checkpointing
        )

    def _latent_mean_and_std(self, micro: Batch) -> tuple[Tensor, Tensor]:
        pairs = [self._sample_mean_and_std(sample, micro) for sample in micro.samples]
        mean, std = (torch.stack(part).transpose(1, 2) for part in zip(*pairs, strict=True))
        return mean, std

    def _sample_mean_and_std(self, sample: Sample, micro: Batch) -> tuple[Tensor, Tensor]:
        """mean and std [T, 4, h, w] of one sample."""
        if sample.mean is not None and sample.std is not None:
            return self._to_device(sample.mean), self._to_device(sample.std)
        if sample.pixels is not None and self.vae is not None:
            return self.vae.encode_distribution(self._to_device(sample.pixels))
        size = VAE.latent_size(*micro.spec.aspect_bucket.size)
        blank = torch.zeros(micro.spec.aspect_bucket.bucket.frames, 4, *size, device=self.device)
        return blank, blank

    def _text(self, micro: Batch) -> tuple[Tensor, Tensor]:
        """States [B, 1, L, C] and mask [B, L]."""
        tokens, width = self.recipe.text_tokens, self.recipe.network.caption_channels
        text = torch.zeros(len(micro), 1, tokens, width, device=self.device)
        mask = torch.zeros(len(micro), tokens, dtype=torch.bool, device=self.device)
        for place, sample in enumerate(micro.samples):
            states = sample.states if sample.states is not None else torch.zeros(1, width)
            if states.shape[1] != width:
                source = (
                    self.recipe.text_encoder if self.text_encoder else f"cache {self.recipe.cache}"
                )
                raise CacheError(
                    f"{source} has text states of width {states.shape[1]}, "
                    f"network.caption_channels is {width}: make them the same"
                )
            text[place, 0, : len(states)] = self._to_device(states)
            mask[place, : len(states)] = True
        return text, mask

    def _conditioning(self, micro: Batch) -> Conditioning:
        aspect_bucket = micro.spec.aspect_bucket
        fps = [sample.fps for sample in micro.samples]
        return conditioning(aspect_bucket.bucket.frames, *aspect_bucket.size, fps, self.device)

    def _to_device(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device, non_blocking=True).float()
