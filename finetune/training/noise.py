"""Draw all random numbers of a sample from its own seed: the same in any batch, on any rank."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from finetune.config import Recipe
from finetune.models import find_family
from finetune.objectives import Objective, draw_frame_mask
from finetune.tensors import to_device_async


class SampleNoise(NamedTuple):
    """The random numbers of B samples of T frames."""

    time: Tensor  # [B], in the objective's unit
    noise: Tensor  # [B, C, T, h, w]
    vae_noise: Tensor  # [B, C, T, h, w], for sampling latents from the VAE's distribution
    frame_mask: Tensor | None  # [B, T] bool, True = to denoise; none if all are
    drop_caption: Tensor  # [B] bool, captions to replace by the null text


def draw_noise(
    seeds: Sequence[int],
    shape: Sequence[int],
    recipe: Recipe,
    objective: Objective,
    device: torch.device,
    *,
    time_range: tuple[float, float] = (0.0, 1.0),
) -> SampleNoise:
    """Draw for samples of one latent shape (C, T, h, w), one seed each."""
    mask_probabilities = find_family(recipe.family).mask_probabilities
    cpu_generator = torch.Generator()  # small draws on the CPU, large ones on the device
    device_generator = torch.Generator(device)
    times, masks, drops, noises = [], [], [], []
    for seed in seeds:
        cpu_generator.manual_seed(seed)
        device_generator.manual_seed(seed ^ 0x5EED)
        times.append(objective.draw_time(cpu_generator, shape, time_range))
        drops.append(torch.rand((), generator=cpu_generator) < recipe.caption_dropout)
        masks.append(draw_frame_mask(shape[1], mask_probabilities, cpu_generator))
        noises.append(torch.randn(2, *shape, generator=device_generator, device=device))
    noise, mask = torch.stack(noises), torch.stack(masks)
    return SampleNoise(
        to_device_async(torch.stack(times), device),
        noise[:, 0],
        noise[:, 1],
        to_device_async(mask, device) if recipe.frame_masks and not mask.all() else None,
        to_device_async(torch.stack(drops), device),
    )
