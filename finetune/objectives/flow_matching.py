"""Flow matching (Lipman et al., 2023) on straight paths: x_t = (1 - t) x0 + t noise, t in [0, 1).

The network predicts the velocity noise - x0. Time sampling and weights: Esser et al. (2024).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Self

import torch
from torch import Generator, Tensor

from finetune.config import Flow
from finetune.errors import ConfigError
from finetune.objectives.base import Denoiser, KnownFrames, Losses, known_frame_mask
from finetune.objectives.frame_masks import masked_frame_mean

MAX_STEPS = 1000
MAX_TRIES = 1000  # draws outside a span before one that is uniform within it

TimestepShift = Callable[[Sequence[int]], float]
"""The shift of latents of a shape (C, T, h, w)."""


class FlowMatching:
    """Velocity prediction with shifted times and an Euler solver."""

    max_time = 1.0
    min_steps = 1
    max_steps = MAX_STEPS

    def __init__(self, settings: Flow, shift: TimestepShift) -> None:
        self.settings, self._family_shift = settings, shift

    def to(self, device: torch.device) -> Self:
        """Return self: there are no coefficients."""
        return self

    def shift(self, latent_shape: Sequence[int]) -> float:
        """Return the shift of times for latents of a shape (C, T, h, w)."""
        return self.settings.shift or self._family_shift(latent_shape)

    def draw_time(
        self, generator: Generator, latent_shape: Sequence[int], span: tuple[float, float]
    ) -> Tensor:
        shift = self.shift(latent_shape)
        for _ in range(MAX_TRIES):
            time = self._draw(generator, shift)
            if span[0] <= float(time) < span[1]:
                return time
        return span[0] + (span[1] - span[0]) * torch.rand((), generator=generator)

    def _draw(self, generator: Generator, shift: float) -> Tensor:
        settings = self.settings
        if float(torch.rand((), generator=generator)) < settings.uniform_share:
            return torch.rand((), generator=generator)
        if settings.time_sampling == "logit_normal":
            normal = torch.randn((), generator=generator)
            time = torch.sigmoid(settings.logit_mean + settings.logit_std * normal)
        else:
            time = torch.rand((), generator=generator)
        if settings.time_sampling == "mode":
            time = mode_times(time, settings.mode_scale)
        return shift_times(time, shift)

    def time_at(self, share: float) -> float:
        return share

    def losses(
        self,
        denoise: Denoiser,
        latents: Tensor,
        time: Tensor,
        noise: Tensor,
        frame_mask: Tensor | None = None,
    ) -> Losses:
        x = interpolate(latents, time, noise, frame_mask)
        velocity = denoise(x, time, frame_mask).float()
        mse = masked_frame_mean((velocity - (noise - latents)).square(), frame_mask)
        return Losses(loss_weight(time, self.settings.weighting) * mse, {"mse": mse})

    @torch.no_grad()
    def sample(
        self,
        denoise: Denoiser,
        noises: Iterator[Tensor],
        steps: int,
        known: KnownFrames | None = None,
    ) -> Tensor:
        if not 1 <= steps <= MAX_STEPS:
            raise ConfigError(f"{steps} sampling steps: choose from 1 to {MAX_STEPS}")
        x = next(noises).clone()
        mask = known_frame_mask(x, known) if known else None
        times = shift_times(torch.linspace(1, 0, steps + 1), self.shift(x.shape[1:])).tolist()
        return euler_sample(denoise, x, times, mask)


def interpolate(
    latents: Tensor, time: Tensor, noise: Tensor, frame_mask: Tensor | None = None
) -> Tensor:
    """Return latents [B, C, T, h, w] noised to time [B]; given frames (mask False) stay clean."""
    share = time.view(-1, 1, 1, 1, 1)
    if frame_mask is not None:
        share = torch.where(frame_mask[:, None, :, None, None], share, 0)
    return (1 - share) * latents + share * noise


def shift_times(times: Tensor, shift: float) -> Tensor:
    """Return times moved towards noise: k t / (1 + (k - 1) t), which keeps 0 and 1."""
    return shift * times / (1 + (shift - 1) * times)


def mode_times(uniform: Tensor, scale: float) -> Tensor:
    """Return times in [0, 1] whose density is highest in the middle for scale > 0."""
    return 1 - uniform - scale * (torch.cos(math.pi / 2 * uniform).square() - 1 + uniform)


def loss_weight(time: Tensor, weighting: str) -> Tensor:
    """Return the weight of the loss at each time; its mean over uniform times is 1.

    cosmap: 2 / (pi (1 - 2 t + 2 t^2)). bell: a Gaussian around 1/2, zero at both ends, as in
    DiffSynth-Studio.
    """
    if weighting == "cosmap":
        return 2 / (math.pi * (1 - 2 * time + 2 * time.square()))
    if weighting == "bell":
        return (torch.exp(-2 * (time - 0.5).square()) - BELL_ENDS) / (BELL_MEAN - BELL_ENDS)
    return torch.ones_like(time)


BELL_ENDS = math.exp(-0.5)  # of exp(-2 (t - 1/2)^2) at t = 0 and 1
BELL_MEAN = math.sqrt(math.pi / 2) * math.erf(math.sqrt(0.5))  # over t in [0, 1]


@torch.no_grad()
def euler_sample(
    denoise: Denoiser, x: Tensor, times: Sequence[float], frame_mask: Tensor | None = None
) -> Tensor:
    """Integrate the velocity from x [B, C, T, h, w] over falling times with Euler's method.

    Frames that frame_mask [B, T] gives (False) stay as they are.
    """
    for time, next_time in pairwise(times):
        velocity = denoise(x, torch.full((len(x),), time, device=x.device), frame_mask)
        moved = x + (next_time - time) * velocity.float()
        x = (
            moved
            if frame_mask is None
            else torch.where(frame_mask[:, None, :, None, None], moved, x)
        )
    return x
