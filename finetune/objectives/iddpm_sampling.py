"""Samplers as functions: ancestral steps back, guided, with some frames given or not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Generator, Tensor

from finetune.objectives.iddpm import Denoiser, Diffusion

GUIDED_CHANNELS = 3  # of four: so were the published weights sampled


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
    """Classifier-free guidance (Ho and Salimans, 2022) around an STDiT2.

    y [B, 1, L, C] the text's states, null [L, C] the network's `y_embedding`, both halves under
    the text's own mask [B, L]; scalars (num_frames, height, width, ar, fps) are [B]. Latent
    channels past `channels`, and the variance, keep the conditional half's own.
    """
    texts = torch.cat([y, null.to(y).expand_as(y)])
    masks = None if mask is None else torch.cat([mask, mask])
    twice = {name: torch.cat([value, value]) for name, value in scalars.items()}

    def denoise(x: Tensor, timestep: Tensor, frame_mask: Tensor | None, /) -> Tensor:
        frames = None if frame_mask is None else torch.cat([frame_mask, frame_mask])
        output = model(
            torch.cat([x, x]), torch.cat([timestep, timestep]), texts, masks, frames, **twice
        )
        cond, free = output.chunk(2)
        return torch.cat([apply_guidance(cond, free, scale, channels), cond[:, channels:]], dim=1)

    return denoise


def apply_guidance(cond: Tensor, null: Tensor, scale: float, channels: int) -> Tensor:
    """null + scale * (cond - null), of the first `channels` of [B, 2C, T, H, W]."""
    cond, null = cond[:, :channels], null[:, :channels]
    return null + scale * (cond - null)


def noise_stream(x: Tensor, generator: Generator | None = None) -> Iterator[Tensor]:
    """Standard normal noise like x, for ever."""
    while True:
        yield torch.randn(
            x.shape, generator=generator, device=x.device, dtype=x.dtype, layout=x.layout
        )


@torch.no_grad()
def ancestral_sample(
    process: Diffusion, denoise: Denoiser, x: Tensor, step_noise: Iterable[Tensor] | None = None
) -> Tensor:
    """Ancestral sampling (Ho et al., 2020) from noise x [B, C, T, H, W] to a latent.

    process: respaced to as many steps as are to be run. step_noise: one tensor a step, the last
    one's unused; torch's global generator where not given.
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
    """Sampling with given frames, each free to change as far as its edit ratio allows.

    x [B, C, T, H, W]: noise where edit [B, T] is 1, a latent elsewhere. A frame of ratio r is left
    alone until step r * steps, noised to that level there, and denoised below it; ratio 0 is given
    as it is. step_noise: two tensors a step, the level's and the step's own.
    """
    noises = iter(noise_stream(x) if step_noise is None else step_noise)
    # a hair more: 0.29 * 100 is 28.999...
    turn = torch.floor(edit.double() * len(process) + 1e-6)
    turn = torch.where(edit <= 0, -1, turn)
    for step in reversed(range(len(process))):
        t = torch.full((len(x),), step, device=x.device)
        arrives = (turn == step)[:, None, :, None, None]
        x = torch.where(arrives, process.q_sample(x, t, next(noises)), x)
        free = turn > step
        stepped = _reverse_step(process, denoise, x, step, next(noises), frame_mask=free)
        x = torch.where(free[:, None, :, None, None], stepped, x)
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
    t = torch.full((len(x),), step, device=x.device)
    timestep = process.timesteps.to(x.device)[t]
    back = process.p_mean_variance(denoise(x, timestep, frame_mask), x, t)
    if step == 0:
        return back.mean
    return back.mean + torch.exp(back.log_variance / 2) * noise
