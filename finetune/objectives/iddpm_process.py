"""The diffusion process: adding noise, the training losses, and the reverse step."""

from __future__ import annotations

import math
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from finetune.errors import ConfigError
from finetune.objectives.base import Denoiser
from finetune.objectives.frame_masks import masked_frame_mean

NUM_TIMESTEPS = 1000
BETA_START, BETA_END = 1e-4, 2e-2
HALF_BIN_WIDTH = 1 / 255  # of an 8-bit level of x0 in [-1, 1]
TAIL_THRESHOLD = 0.999  # levels beyond it extend to infinity


class IDDPMLosses(NamedTuple):
    """Losses of each sample, [B] float32."""

    loss: Tensor  # mse + vb, the training loss
    mse: Tensor
    vb: Tensor  # variational bound, bits


class PMeanVariance(NamedTuple):
    """The network's distribution of x_{t-1} given x_t; [B, C, T, H, W] each."""

    mean: Tensor
    log_variance: Tensor
    x_start: Tensor


class Diffusion:
    """A process with epsilon prediction and learned-range variance; x0 is never clipped.

    Betas are computed in float64, then rounded; later coefficients are float32, as in the published
    sampler (with float64, golden chains differ by 2e-4).
    """

    def __init__(self, betas: NDArray[np.float64], timesteps: list[int]) -> None:
        if not np.all((betas > 0) & (betas <= 1)):
            raise ConfigError("betas must lie in (0, 1]")
        self.timesteps = torch.tensor(
            timesteps
        )  # the training timestep of each step of this process
        self._exact_betas = betas
        self.betas = torch.from_numpy(betas.astype(np.float32))
        alphas = 1 - self.betas
        cumprod = torch.from_numpy(np.cumprod(alphas.numpy()))
        previous = torch.cat([torch.ones(1), cumprod[:-1]])
        variance = self.betas * (1 - previous) / (1 - cumprod)
        self._coefficients = {
            "sqrt_alphas_cumprod": cumprod.sqrt(),
            "sqrt_one_minus_alphas_cumprod": (1 - cumprod).sqrt(),
            "sqrt_recip_alphas_cumprod": (1 / cumprod).sqrt(),
            "sqrt_recipm1_alphas_cumprod": (1 / cumprod - 1).sqrt(),
            "posterior_mean_coef1": self.betas * previous.sqrt() / (1 - cumprod),
            "posterior_mean_coef2": (1 - previous) * alphas.sqrt() / (1 - cumprod),
            "log_betas": self.betas.log(),
            # clipped, since the first step's variance is zero
            "posterior_log_variance_clipped": torch.cat([variance[1:2], variance[1:]]).log(),
        }

    @classmethod
    def linear(cls, steps: int = NUM_TIMESTEPS) -> Self:
        """Return the training process: linear betas from 1e-4 to 2e-2."""
        return cls(np.linspace(BETA_START, BETA_END, steps), list(range(steps)))

    def respaced(self, steps: int) -> Self:
        """Return this process in fewer, evenly spaced steps, first and last included."""
        last = len(self) - 1
        if not 2 <= steps <= len(self):
            raise ConfigError(f"{steps} sampling steps: choose from 2 to {len(self)}")
        chosen = [round(i * last / (steps - 1)) for i in range(steps)]
        cumprod = np.cumprod(1 - self._exact_betas)[chosen]
        betas = 1 - cumprod / np.concatenate([[1.0], cumprod[:-1]])
        return type(self)(betas, self.timesteps[chosen].tolist())

    def __len__(self) -> int:
        return len(self.betas)

    def to(self, device: torch.device | str) -> Self:
        """Move the coefficients to a device once; otherwise each use copies them."""
        self.timesteps = self.timesteps.to(device)
        self.betas = self.betas.to(device)
        self._coefficients = {k: v.to(device) for k, v in self._coefficients.items()}
        return self

    def coefficient(self, name: str, t: Tensor, like: Tensor) -> Tensor:
        """Return the named coefficient at steps t ([B], or [B, T] per frame), shaped to `like`."""
        values = self._coefficients[name].to(t.device)[t]
        if t.ndim == 2:
            return values[:, None, :, None, None]
        return values.view(-1, *[1] * (like.ndim - 1))

    def q_sample(
        self, x_start: Tensor, t: Tensor, noise: Tensor, frame_mask: Tensor | None = None
    ) -> Tensor:
        """Add noise up to step t [B]; frames where frame_mask [B, T] is False get step 0's noise.

        They are not clean: the published training noised conditioning frames so.
        """
        if frame_mask is not None:
            t = torch.where(frame_mask, t[:, None], 0)
        signal = self.coefficient("sqrt_alphas_cumprod", t, x_start)
        return (
            signal * x_start + self.coefficient("sqrt_one_minus_alphas_cumprod", t, x_start) * noise
        )

    def p_mean_variance(self, output: Tensor, x: Tensor, t: Tensor) -> PMeanVariance:
        """Return the distribution of x_{t-1} given x at step t [B] and the output [B, 2C, ...]."""
        noise, position = output.float().chunk(2, dim=1)
        low = self.coefficient("posterior_log_variance_clipped", t, x)
        high = self.coefficient("log_betas", t, x)
        fraction = (position + 1) / 2
        x_start = self.coefficient("sqrt_recip_alphas_cumprod", t, x) * x
        x_start = x_start - self.coefficient("sqrt_recipm1_alphas_cumprod", t, x) * noise
        log_variance = fraction * high + (1 - fraction) * low
        return PMeanVariance(self._posterior_mean(x_start, x, t), log_variance, x_start)

    def losses(
        self,
        denoise: Denoiser,
        x_start: Tensor,
        t: Tensor,
        noise: Tensor,
        frame_mask: Tensor | None = None,
    ) -> IDDPMLosses:
        """Return each sample's mean squared error of the noise, plus its variational bound term.

        x_start, noise [B, C, T, H, W]; t [B]. With frame_mask [B, T] (True = denoise) the means are
        over denoised frames, and the network gets the mask.
        """
        x = self.q_sample(x_start, t, noise, frame_mask)
        output = denoise(x, self.timesteps.to(t.device)[t], frame_mask).float()
        predicted, position = output.chunk(2, dim=1)
        mse = masked_frame_mean((noise - predicted).square(), frame_mask)
        # the bound trains only the variance
        vb = self._bound(torch.cat([predicted.detach(), position], dim=1), x_start, x, t)
        bits = masked_frame_mean(vb, frame_mask) / math.log(2)
        return IDDPMLosses(mse + bits, mse, bits)

    def _bound(self, output: Tensor, x_start: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """Return the bound's term of each element, in nats."""
        model = self.p_mean_variance(output, x, t)
        true_mean = self._posterior_mean(x_start, x, t)
        true_log_variance = self.coefficient("posterior_log_variance_clipped", t, x)
        kl = normal_kl(true_mean, true_log_variance, model.mean, model.log_variance)
        nll = -discretized_gaussian_log_likelihood(x_start, model.mean, model.log_variance / 2)
        return torch.where((t == 0).view(-1, 1, 1, 1, 1), nll, kl)

    def _posterior_mean(self, x_start: Tensor, x: Tensor, t: Tensor) -> Tensor:
        coef1 = self.coefficient("posterior_mean_coef1", t, x)
        return coef1 * x_start + self.coefficient("posterior_mean_coef2", t, x) * x


def normal_kl(mean1: Tensor, log_variance1: Tensor, mean2: Tensor, log_variance2: Tensor) -> Tensor:
    """Return KL(1 || 2) of two normal distributions, per element, in nats."""
    log_term = log_variance2 - log_variance1 + torch.exp(log_variance1 - log_variance2)
    return 0.5 * (log_term - 1 + (mean1 - mean2).square() * torch.exp(-log_variance2))


def discretized_gaussian_log_likelihood(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Return log P of x's 8-bit level under a normal, in nats; the end levels are open."""
    centred, inv_std = x - mean, torch.exp(-log_scale)
    above = _normal_cdf(inv_std * (centred + HALF_BIN_WIDTH))
    below = _normal_cdf(inv_std * (centred - HALF_BIN_WIDTH))
    inside = torch.where(x > TAIL_THRESHOLD, 1 - below, above - below)
    return torch.where(x < -TAIL_THRESHOLD, above, inside).clamp(min=1e-12).log()


def _normal_cdf(z: Tensor) -> Tensor:
    """Return the tanh approximation of the normal CDF that the published loss used."""
    return 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))
