"""Ancestral sampling, with optional conditioning frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Generator, Tensor

from finetune.objectives.base import Denoiser
from finetune.objectives.iddpm_process import Diffusion


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
