"""Improved DDPM (Nichol and Dhariwal, 2021), as the published weights were trained and sampled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Self

import torch
from torch import Generator, Tensor

from finetune.objectives.base import Denoiser, KnownFrames, Losses, known_frame_mask
from finetune.objectives.iddpm_process import NUM_TIMESTEPS, Diffusion
from finetune.objectives.iddpm_sampling import ancestral_edit_sample, ancestral_sample


class IDDPM:
    """Noise and variance prediction at 1,000 timesteps, ancestral sampling in fewer."""

    max_time: float = NUM_TIMESTEPS
    min_steps = 2
    max_steps = NUM_TIMESTEPS

    def __init__(self) -> None:
        self.process = Diffusion.linear()

    def to(self, device: torch.device) -> Self:
        self.process.to(device)
        return self

    def draw_time(
        self, generator: Generator, latent_shape: Sequence[int], span: tuple[float, float]
    ) -> Tensor:
        low, high = (round(end * NUM_TIMESTEPS) for end in span)
        return torch.randint(low, high, (), generator=generator)

    def time_at(self, share: float) -> int:
        return round(share * NUM_TIMESTEPS)

    def losses(
        self,
        denoise: Denoiser,
        latents: Tensor,
        time: Tensor,
        noise: Tensor,
        frame_mask: Tensor | None = None,
    ) -> Losses:
        loss, mse, vb = self.process.losses(denoise, latents, time, noise, frame_mask)
        return Losses(loss, {"mse": mse, "vb": vb})

    def sample(
        self,
        denoise: Denoiser,
        noises: Iterator[Tensor],
        steps: int,
        known: KnownFrames | None = None,
    ) -> Tensor:
        x = next(noises)
        process = Diffusion.linear().respaced(steps).to(x.device)
        if not known:
            return ancestral_sample(process, denoise, x, noises)
        edit = known_frame_mask(x, known).float()
        return ancestral_edit_sample(process, denoise, x, edit, noises)
