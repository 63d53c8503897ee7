"""The process: how noise is added, what the network is asked, and what a step back is."""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from finetune.errors import ConfigError

NUM_TIMESTEPS = 1000
BETA_START, BETA_END = 1e-4, 2e-2
HALF_BIN_WIDTH = 1 / 255  # half width of a level of x0, in [-1, 1]
TAIL_THRESHOLD = 0.999  # levels beyond it are open


class Denoiser(Protocol):
    """A network with its text and scalars bound: noise and variance from a noised latent."""

    def __call__(self, x: Tensor, timestep: Tensor, frame_mask: Tensor | None, /) -> Tensor:
        """x [B, C, T, H, W], timestep [B] of the training process -> [B, 2C, T, H, W]."""
        ...


class Losses(NamedTuple):
    """Of each sample, [B] float32."""

    loss: Tensor  # mse + vb, what is trained
    mse: Tensor
    vb: Tensor  # bits


class PMeanVariance(NamedTuple):
    """The distribution of x_{t-1} given x_t, as the network sees it; [B, C, T, H, W] each."""

    mean: Tensor
    log_variance: Tensor
    x_start: Tensor


class Diffusion:
    """Epsilon prediction, learned-range variance, x0 never clipped.

    Betas are made in float64 and rounded; every coefficient after them is float32, since that is
    how the published weights were sampled (float64 misses their chains by 2e-4).
    """

    def __init__(self, betas: NDArray[np.float64], timesteps: list[int]) -> None:
        if not np.all((betas > 0) & (betas <= 1)):
            raise ConfigError("betas must lie in (0, 1]")
        self.timesteps = torch.tensor(timesteps)  # of the training process, one a step of this one
        self._exact_betas = betas
        self.betas = torch.from_numpy(betas.astype(np.float32))
        alphas = 1 - self.betas
        kept = torch.from_numpy(np.cumprod(alphas.numpy()))
        before = torch.cat([torch.ones(1), kept[:-1]])
        variance = self.betas * (1 - before) / (1 - kept)
        self._table = {
            "signal": kept.sqrt(),
            "noise": (1 - kept).sqrt(),
            "x0_of_x": (1 / kept).sqrt(),
            "x0_of_noise": (1 / kept - 1).sqrt(),
            "mean_of_x0": self.betas * before.sqrt() / (1 - kept),
            "mean_of_x": (1 - before) * alphas.sqrt() / (1 - kept),
            "log_beta": self.betas.log(),
            # clipped: the first step's variance is zero
            "log_variance": torch.cat([variance[1:2], variance[1:]]).log(),
        }

    @classmethod
    def linear(cls, steps: int = NUM_TIMESTEPS) -> Self:
        """The training process: linear betas from 1e-4 to 2e-2."""
        return cls(np.linspace(BETA_START, BETA_END, steps), list(range(steps)))

    def respaced(self, steps: int) -> Self:
        """The same process in fewer steps, spread evenly, ends included."""
        last = len(self) - 1
        if not 2 <= steps <= len(self):
            raise ConfigError(f"{steps} sampling steps: choose from 2 to {len(self)}")
        keep = [round(i * last / (steps - 1)) for i in range(steps)]
        kept = np.cumprod(1 - self._exact_betas)[keep]
        betas = 1 - kept / np.concatenate([[1.0], kept[:-1]])
        return type(self)(betas, self.timesteps[keep].tolist())

    def __len__(self) -> int:
        return len(self.betas)

    def to(self, device: torch.device | str) -> Self:
        """Move the coefficients; without it they travel at each use."""
        self.timesteps = self.timesteps.to(device)
        self.betas = self.betas.to(device)
        self._table = {name: value.to(device) for name, value in self._table.items()}
        return self

    def coefficient(self, name: str, t: Tensor, like: Tensor) -> Tensor:
        """The named coefficient at steps t ([B], or [B, T] a frame each), shaped to `like`."""
        values = self._table[name].to(t.device)[t]
        if t.ndim == 2:
            return values[:, None, :, None, None]
        return values.view(-1, *[1] * (like.ndim - 1))

    def q_sample(
        self, x_start: Tensor, t: Tensor, noise: Tensor, frame_mask: Tensor | None = None
    ) -> Tensor:
        """x_start noised to step t [B]; frames that frame_mask [B, T] gives are noised to step 0.

        Not clean: the published training noised given frames so, with the same noise.
        """
        if frame_mask is not None:
            t = torch.where(frame_mask, t[:, None], 0)
        signal = self.coefficient("signal", t, x_start)
        return signal * x_start + self.coefficient("noise", t, x_start) * noise

    def p_mean_variance(self, output: Tensor, x: Tensor, t: Tensor) -> PMeanVariance:
        """What the network's output [B, 2C, ...] says of the step before x at step t [B]."""
        noise, position = output.float().chunk(2, dim=1)
        low = self.coefficient("log_variance", t, x)
        high = self.coefficient("log_beta", t, x)
        share = (position + 1) / 2
        x_start = self.coefficient("x0_of_x", t, x) * x
        x_start = x_start - self.coefficient("x0_of_noise", t, x) * noise
        return PMeanVariance(
            self._posterior_mean(x_start, x, t), share * high + (1 - share) * low, x_start
        )

    def losses(
        self,
        denoise: Denoiser,
        x_start: Tensor,
        t: Tensor,
        noise: Tensor,
        frame_mask: Tensor | None = None,
    ) -> Losses:
        """Squared error of the noise plus the variational bound's term, each sample's mean.

        x_start, noise [B, C, T, H, W]; t [B]. With frame_mask [B, T] (True = denoise) means are
        over denoised frames, and the network gets the mask.
        """
        x = self.q_sample(x_start, t, noise, frame_mask)
        output = denoise(x, self.timesteps.to(t.device)[t], frame_mask).float()
        predicted, position = output.chunk(2, dim=1)
        mse = masked_frame_mean((noise - predicted).square(), frame_mask)
        # the bound teaches the variance alone
        vb = self._bound(torch.cat([predicted.detach(), position], dim=1), x_start, x, t)
        bits = masked_frame_mean(vb, frame_mask) / math.log(2)
        return Losses(mse + bits, mse, bits)

    def _bound(self, output: Tensor, x_start: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """The bound's term of each element, in nats."""
        model = self.p_mean_variance(output, x, t)
        true_mean = self._posterior_mean(x_start, x, t)
        true_log_variance = self.coefficient("log_variance", t, x)
        kl = normal_kl(true_mean, true_log_variance, model.mean, model.log_variance)
        surprise = -discretized_gaussian_log_likelihood(x_start, model.mean, model.log_variance / 2)
        return torch.where((t == 0).view(-1, 1, 1, 1, 1), surprise, kl)

    def _posterior_mean(self, x_start: Tensor, x: Tensor, t: Tensor) -> Tensor:
        of_x0 = self.coefficient("mean_of_x0", t, x)
        return of_x0 * x_start + self.coefficient("mean_of_x", t, x) * x


def masked_frame_mean(values: Tensor, frame_mask: Tensor | None) -> Tensor:
    """values [B, C, T, H, W] -> [B]: the mean over the frames where frame_mask [B, T] is True."""
    if frame_mask is None:
        return values.flatten(1).mean(1)
    chosen = frame_mask[:, None, :, None, None].to(values.dtype)
    frames = frame_mask.sum(1).clamp(min=1)
    size = values.shape[1] * values.shape[3] * values.shape[4]
    return (values * chosen).flatten(1).sum(1) / (frames * size)


def normal_kl(mean1: Tensor, log_variance1: Tensor, mean2: Tensor, log_variance2: Tensor) -> Tensor:
    """KL(1 || 2) of two normals, element by element, in nats."""
    spread = log_variance2 - log_variance1 + torch.exp(log_variance1 - log_variance2)
    return 0.5 * (spread - 1 + (mean1 - mean2).square() * torch.exp(-log_variance2))


def discretized_gaussian_log_likelihood(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """log P(x's level) under a normal, in nats; levels 1/255 either side, open at the ends."""
    centred, sharpness = x - mean, torch.exp(-log_scale)
    above = _normal_cdf(sharpness * (centred + HALF_BIN_WIDTH))
    below = _normal_cdf(sharpness * (centred - HALF_BIN_WIDTH))
    inside = torch.where(x > TAIL_THRESHOLD, 1 - below, above - below)
    return torch.where(x < -TAIL_THRESHOLD, above, inside).clamp(min=1e-12).log()


def _normal_cdf(z: Tensor) -> Tensor:
    """The tanh approximation that the published loss used."""
    return 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))
