"""Ancestral sampling with classifier-free guidance and optional conditioning frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Generator, Tensor

from finetune.objectives.iddpm import Denoiser, Diffusion

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


def noise_stream(x: Tensor, generator: Generator | None = None) -> Iterator[Tensor]:
    """Yield standard normal noise shaped like x, endlessly."""
    while True:
        yield torch.randn(
            x.shape, generator=generator, device=x.device, dtype=x.dtype, layout=x.layout
        )


@torch.no_grad()
def ancestral_sample(
    process: Diffusion, denoise: Denoiser, x: Tensor, step_noise: Iterable[Tensor] | None = None
) -> Tensor:
    """Sample a latent from noise x [B, C, T, H, W] by ancestral sampling (Ho et al., 2020).

    process: respaced to the number of sampling steps. step_noise: one tensor per step, the last one
    unused; None draws from torch's global generator.
    """
    noises = iter(noise_stream(x) if step_noise is None else step_noise)
    for step in reversed(range(len(process))):
        x = _reverse_step(process, denoise, x, step, next(noises))
    return x


@torch.no_grad()
def ancestral_edit_sample(
    process: Diffusion,
    denoise: Denoiser,
    x: Tensor,
    edit: Tensor,
    step_noise: Iterable[Tensor] | None = None,
) -> Tensor:
    """Sample with conditioning frames that may change up to their edit ratio.

    x [B, C, T, H, W]: noise where edit [B, T] is 1, a latent elsewhere. A frame of ratio r stays
    unchanged down to step r * steps, gets that level's noise there, and is denoised below it; ratio
    0 stays as it is. step_noise: two tensors per step, for the level and for the step.
    """
    noises = iter(noise_stream(x) if step_noise is None else step_noise)
    # 1e-6, since 0.29 * 100 is 28.999...
    start = torch.floor(edit.double() * len(process) + 1e-6)
    start = torch.where(edit <= 0, -1, start)
    for step in reversed(range(len(process))):
        t = torch.full((len(x),), step, device=x.device)
        starts = (start == step)[:, None, :, None, None]
        x = torch.where(starts, process.q_sample(x, t, next(noises)), x)
        denoised = start > step
        stepped = _reverse_step(process, denoise, x, step, next(noises), frame_mask=denoised)
        x = torch.where(denoised[:, None, :, None, None], stepped, x)
    return x


def _reverse_step(
    process: Diffusion,
    denoise: Denoiser,
    x: Tensor,
    step: int,
    noise: Tensor,
    *,
    frame_mask: Tensor | None = None,
) -> Tensor:
    """Denoise x by one step; step 0 adds no noise."""
    t = torch.full((len(x),), step, device=x.device)
    timestep = process.timesteps.to(x.device)[t]
    previous = process.p_mean_variance(denoise(x, timestep, frame_mask), x, t)
    if step == 0:
        return previous.mean
    return previous.mean + torch.exp(previous.log_variance / 2) * noise
