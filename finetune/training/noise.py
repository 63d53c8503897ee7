"""All that is random about a sample, from its own seed: the same in any batch, on any rank."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from finetune.config import Recipe
from finetune.objectives import RECIPE_PROBABILITIES, draw_frame_mask
from finetune.objectives.iddpm import TRAINING_STEPS
from finetune.tensors import to_device_async


class Draws(NamedTuple):
    """Of B samples of T frames."""

    t: Tensor  # [B] int64, 0..999
    noise: Tensor  # [B, 4, T, h, w]
    encoding: Tensor  # [B, 4, T, h, w], the noise of the VAE's own distribution
    frame_mask: Tensor | None  # [B, T] bool, True = to denoise; none where all are
    drop: Tensor  # [B] bool, captions to replace by the null text


def draw(seeds: Sequence[int], shape: Sequence[int], recipe: Recipe, device: torch.device) -> Draws:
    """Draws for samples of one shape (4, T, h, w)."""
    few = torch.Generator()  # small draws on the CPU, large ones where they are used
    many = torch.Generator(device)
    times, masks, drops, noises = [], [], [], []
    for seed in seeds:
        few.manual_seed(seed)
        many.manual_seed(seed ^ 0x5EED)
        times.append(torch.randint(TRAINING_STEPS, (), generator=few))
        drops.append(torch.rand((), generator=few) < recipe.caption_dropout)
        masks.append(draw_frame_mask(shape[1], RECIPE_PROBABILITIES, few))
        noises.append(torch.randn(2, *shape, generator=many, device=device))
    noise, mask = torch.stack(noises), torch.stack(masks)
    return Draws(
        to_device_async(torch.stack(times), device),
        noise[:, 0],
        noise[:, 1],
        to_device_async(mask, device) if recipe.masks and not mask.all() else None,
        to_device_async(torch.stack(drops), device),
    )
