"""Turn micro-batches into the network's inputs, from cached latents or from pixels."""

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
    """The inputs of B clips on the device."""

    mean: Tensor  # [B, 4, T, h, w]: a latent is mean + std * noise
    std: Tensor
    text: Tensor  # [B, 1, L, C]
    mask: Tensor  # [B, L] bool
    conditioning: Conditioning
    activation_checkpointing: int  # blocks to recompute in the backward pass

    def denoiser(self, model: STDiT2, drop_caption: Tensor) -> Denoiser:
        """Return the network with these inputs bound; drop_caption [B] selects the null text."""

        def denoise(x: Tensor, timestep: Tensor, frame_mask: Tensor | None, /) -> Tensor:
            output: Tensor = model(
                x,
                timestep,
                self.text,
                self.mask,
                frame_mask,
                drop=drop_caption,
                activation_checkpointing=self.activation_checkpointing,
                **self.conditioning,
            )
            return output

        return denoise


class BatchEncoder:
    """Makes `ModelInputs` of micro-batches; loads the encoders only for `latents = "online"`."""

    def __init__(self, recipe: Recipe, index: Index, device: torch.device) -> None:
        self.recipe, self.device = recipe, device
        online = recipe.latents == "online"
        self.vae = load_vae(recipe, device) if online else None
        self.text_encoder = load_text_encoder(recipe, index, device) if online else None
        if self.vae and self.text_encoder and recipe.compile:
            self.vae.compile_network()
            self.text_encoder.compile_network()

    def encode_captions(self, batch: Batch) -> Batch:
        """Return the batch with text states; one call for all is a fraction of one per caption."""
        if self.text_encoder is None or all(sample.states is not None for sample in batch.samples):
            return batch
        encoded = self.text_encoder.encode([sample.caption for sample in batch.samples])
        states = (one[:tokens] for one, tokens in zip(encoded.states, encoded.lengths, strict=True))
        pairs = zip(batch.samples, states, strict=True)
        return replace(batch, samples=tuple(sample._replace(states=one) for sample, one in pairs))

    def __call__(self, micro_batch: Batch) -> ModelInputs:
        micro_batch = self.encode_captions(micro_batch)
        mean, std = self._latent_mean_and_std(micro_batch)
        text, mask = self._text(micro_batch)
        blocks = self.recipe.checkpointed_blocks(micro_batch.spec.aspect_bucket.bucket)
        return ModelInputs(mean, std, text, mask, self._conditioning(micro_batch), blocks)

    def _latent_mean_and_std(self, micro_batch: Batch) -> tuple[Tensor, Tensor]:
        pairs = [self._sample_mean_and_std(sample, micro_batch) for sample in micro_batch.samples]
        mean, std = (torch.stack(tensors).transpose(1, 2) for tensors in zip(*pairs, strict=True))
        return mean, std

    def _sample_mean_and_std(self, sample: Sample, micro_batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the mean and standard deviation [T, 4, h, w] of one sample."""
        if sample.mean is not None and sample.std is not None:
            return self._to_device(sample.mean), self._to_device(sample.std)
        if sample.pixels is not None and self.vae is not None:
            return self.vae.encode_distribution(self._to_device(sample.pixels))
        aspect_bucket = micro_batch.spec.aspect_bucket
        size = VAE.latent_size(*aspect_bucket.size)
        blank = torch.zeros(aspect_bucket.bucket.frames, 4, *size, device=self.device)
        return blank, blank

    def _text(self, micro_batch: Batch) -> tuple[Tensor, Tensor]:
        """Return text states [B, 1, L, C] and mask [B, L]."""
        tokens, width = self.recipe.text_tokens, self.recipe.network.caption_channels
        text = torch.zeros(len(micro_batch), 1, tokens, width, device=self.device)
        mask = torch.zeros(len(micro_batch), tokens, dtype=torch.bool, device=self.device)
        for row, sample in enumerate(micro_batch.samples):
            states = sample.states if sample.states is not None else torch.zeros(1, width)
            if states.shape[1] != width:
                cache = f"cache {self.recipe.cache}"
                raise CacheError(
                    f"{self.recipe.text_encoder if self.text_encoder else cache} has text states "
                    f"of width {states.shape[1]}, network.caption_channels is {width}: make them "
                    "the same"
                )
            text[row, 0, : len(states)] = self._to_device(states)
            mask[row, : len(states)] = True
        return text, mask

    def _conditioning(self, micro_batch: Batch) -> Conditioning:
        aspect_bucket = micro_batch.spec.aspect_bucket
        fps = [sample.fps for sample in micro_batch.samples]
        return conditioning(aspect_bucket.bucket.frames, *aspect_bucket.size, fps, self.device)

    def _to_device(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device, non_blocking=True).float()
