"""The protocol of a training objective: times, noisy inputs, named losses, and a solver.

An objective imports no network: it calls a `Denoiser`, which a model family builds from one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol, Self

import torch
from torch import Generator, Tensor

KnownFrames = Mapping[int, Tensor]
"""Latents [C, h, w] by latent frame number, which sampling keeps as they are."""


class Denoiser(Protocol):
    """A network with its text and conditions bound: the objective's output for a noisy latent."""

    def __call__(self, x: Tensor, time: Tensor, frame_mask: Tensor | None, /) -> Tensor:
        """Return the output for x [B, C, T, h, w] at time [B]; frame_mask [B, T], True: denoise."""
        ...


class Losses(NamedTuple):
    """Losses of each sample, [B] float32."""

    loss: Tensor  # what is trained
    parts: Mapping[str, Tensor]  # what is logged beside it, by name


class Objective(Protocol):
    """A way to train a denoiser, and to sample from it."""

    max_time: float  # times lie in [0, max_time); 0 is the clean latent
    min_steps: int  # of sampling
    max_steps: int

    def to(self, device: torch.device) -> Self:
        """Move coefficients to a device."""
        ...

    def draw_time(
        self, generator: Generator, latent_shape: Sequence[int], span: tuple[float, float]
    ) -> Tensor:
        """Draw one sample's time, a scalar on the CPU, from the sample's own generator.

        latent_shape: (C, T, h, w). span: the part of [0, 1) of all times that is trained now, for
        families whose experts share them out.
        """
        ...

    def time_at(self, share: float) -> float:
        """Return the time at a share (0 to 1) of all noise, for losses at fixed times."""
        ...

    def losses(
        self,
        denoise: Denoiser,
        latents: Tensor,
        time: Tensor,
        noise: Tensor,
        frame_mask: Tensor | None = None,
    ) -> Losses:
        """Add noise, call the denoiser, and compare with the target; means over denoised frames.

        latents, noise: [B, C, T, h, w]; time: [B]. Frames that frame_mask [B, T] gives (False) have
        time 0.
        """
        ...

    def sample(
        self,
        denoise: Denoiser,
        noises: Iterator[Tensor],
        steps: int,
        known: KnownFrames | None = None,
    ) -> Tensor:
        """Solve from noise to a latent [B, C, T, h, w].

        noises: standard normal tensors of that shape without end; the first is the start.
        """
        ...


def known_frame_mask(x: Tensor, known: KnownFrames) -> Tensor:
    """Write known latents into x [B, C, T, h, w]; return the mask [B, T] of frames to denoise."""
    mask = torch.ones(x.shape[0], x.shape[2], dtype=torch.bool, device=x.device)
    for frame, latent in known.items():
        x[:, :, frame] = latent.to(x)
        mask[:, frame] = False
    return mask
