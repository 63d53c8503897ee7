"""Classifier-free guidance as the published sampler has it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from finetune.objectives.base import Denoiser

GUIDED_CHANNELS = 3  # of four, as in the published sampler


def classifier_free_guidance(
    model: Callable[..., Tensor],
    y: Tensor,
    null: Tensor,
    mask: Tensor | None,
    *,
    scale: float,
    channels: int = GUIDED_CHANNELS,
    **scalars: Tensor,
) -> Denoiser:
    """Wrap an STDiT2 in classifier-free guidance (Ho and Salimans, 2022).

    y [B, 1, L, C] text states; null [L, C] the network's `y_embedding`, under the same mask [B, L];
    scalars (num_frames, height, width, ar, fps) are [B]. Latent channels past `channels`, and the
    variance, are the conditional prediction's.
    """
    texts = torch.cat([y, null.to(y).expand_as(y)])
    masks = None if mask is None else torch.cat([mask, mask])
    doubled = {name: torch.cat([value, value]) for name, value in scalars.items()}

    def denoise(x: Tensor, timestep: Tensor, frame_mask: Tensor | None, /) -> Tensor:
        frames = None if frame_mask is None else torch.cat([frame_mask, frame_mask])
        output = model(
            torch.cat([x, x]), torch.cat([timestep, timestep]), texts, masks, frames, **doubled
        )
        cond, uncond = output.chunk(2)
        return torch.cat([apply_guidance(cond, uncond, scale, channels), cond[:, channels:]], dim=1)

    return denoise


def apply_guidance(cond: Tensor, null: Tensor, scale: float, channels: int) -> Tensor:
    """Return null + scale * (cond - null) for the first `channels` of [B, 2C, T, H, W]."""
    cond, null = cond[:, :channels], null[:, :channels]
    return null + scale * (cond - null)
