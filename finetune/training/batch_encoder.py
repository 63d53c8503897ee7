"""Turn micro-batches into the network's inputs, from cached latents or from pixels."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from finetune.config import Recipe
from finetune.data.encoders import (
    load_text_encoder,
    load_vae,
    long_caption_error,
    null_text_states,
)
from finetune.data.index import Index
from finetune.data.loader import Batch
from finetune.data.samples import Sample
from finetune.errors import CacheError, ConfigError
from finetune.models import find_family
from finetune.models.family import ClipConditions, TensorDict, TextSize
from finetune.tensors import copy_float32
from finetune.training.bottlenecks import DeviceClock

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelInputs:
    """The inputs of B clips on the device."""

    mean: Tensor  # [B, C, T, h, w]: a latent is mean + std * noise
    std: Tensor
    conditions: ClipConditions
    activation_checkpointing: int  # blocks to recompute in the backward pass


class BatchEncoder:
    """Makes `ModelInputs` of micro-batches; loads the encoders only for `latents = "online"`."""

    def __init__(self, recipe: Recipe, index: Index, device: torch.device) -> None:
        self.recipe, self.device, self.family = recipe, device, find_family(recipe.family)
        online = recipe.latents == "online"
        self.vae = load_vae(recipe, device) if online else None
        self.text_encoder = load_text_encoder(recipe, index, device) if online else None
        if self.vae and self.text_encoder and recipe.compile:
            self.vae.compile_network()
            self.text_encoder.compile_network()
        self._warned_of_length = False
        self.clock = DeviceClock(device)
        self.text_size = TextSize(recipe.text_tokens, recipe.network.caption_channels)
        null_states = null_text_states(recipe, index, self.text_encoder)
        self.null_text = self._collate([null_states]) if null_states else {}

    def encode_captions(self, batch: Batch) -> Batch:
        """Return the batch with text states; one call for all is a fraction of one per caption."""
        if self.text_encoder is None or all(sample.text for sample in batch.samples):
            return batch
        with self.clock.measure():
            captions = [sample.caption for sample in batch.samples]
            encoded = self.text_encoder.encode_captions(captions)
        for sample, text in zip(batch.samples, encoded, strict=True):
            self._check_length(sample.caption, text.truncated_tokens)
        pairs = zip(batch.samples, encoded, strict=True)
        return replace(batch, samples=tuple(s._replace(text=text.tensors) for s, text in pairs))

    def _check_length(self, caption: str, excess: int) -> None:
        """Raise ConfigError for a caption over `text_tokens`, or warn once."""
        if excess and self.recipe.long_captions == "error":
            raise long_caption_error(caption, excess, self.recipe.text_tokens)
        if excess and not self._warned_of_length:
            log.warning("captions over %d tokens are truncated", self.recipe.text_tokens)
            self._warned_of_length = True

    def __call__(self, micro_batch: Batch) -> ModelInputs:
        micro_batch = self.encode_captions(micro_batch)
        aspect_bucket, samples = micro_batch.spec.aspect_bucket, micro_batch.samples
        latents = self._stack_latents(micro_batch)
        conditions = ClipConditions(
            text=self._collate([sample.text or None for sample in samples]),
            null_text=self.null_text,
            frames=aspect_bucket.bucket.frames,
            height=aspect_bucket.size[0],
            width=aspect_bucket.size[1],
            fps=tuple(sample.fps for sample in samples),
            extras={n: value for n, value in latents.items() if n not in ("mean", "std")},
        )
        blocks = self.recipe.checkpointed_blocks(aspect_bucket.bucket)
        mean, std = latents["mean"].transpose(1, 2), latents["std"].transpose(1, 2)
        return ModelInputs(mean, std, conditions, blocks)

    def _stack_latents(self, micro_batch: Batch) -> dict[str, Tensor]:
        """Return each named tensor of the windows, stacked to [B, ...]."""
        windows = [self._encode_window(sample, micro_batch) for sample in micro_batch.samples]
        return {name: torch.stack([window[name] for window in windows]) for name in windows[0]}

    def _encode_window(self, sample: Sample, micro_batch: Batch) -> TensorDict:
        window = {n: copy_float32(value, self.device) for n, value in sample.window.items()}
        if self.vae is not None and "pixels" in window:
            with self.clock.measure():
                return self.vae.encode_window(window["pixels"])
        return window or self._blank_window(micro_batch)

    def _blank_window(self, micro_batch: Batch) -> TensorDict:
        """Return zeros in the shapes of a window, for a rank that has lost all of its samples."""
        aspect_bucket = micro_batch.spec.aspect_bucket
        frames, size = aspect_bucket.bucket.frames, aspect_bucket.size
        channels, *shape = self.family.latent_shape(frames, *size)
        zeros = torch.zeros(shape[0], channels, *shape[1:], device=self.device)
        extras = self.family.extra_shapes(frames, *size).items()
        return {
            "mean": zeros,
            "std": zeros,
            **{name: torch.zeros(extra, device=self.device) for name, extra in extras},
        }

    def _collate(self, captions: Sequence[TensorDict | None]) -> dict[str, Tensor]:
        try:
            return self.family.collate_text(captions, self.text_size, self.device)
        except ConfigError as error:
            cache = f"cache {self.recipe.cache}"
            source = self.recipe.text_encoder if self.text_encoder else cache
            raise CacheError(f"{source} has {error}") from error
