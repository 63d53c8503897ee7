"""The image VAE: diffusers' AutoencoderKL, applied frame by frame."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from finetune.kernels.channels_last import use_channels_last
from finetune.models.weight_files import load_whole
from finetune.models.weights_digest import weights_digest

if TYPE_CHECKING:
    from os import PathLike

SCALING_FACTOR = 0.18215  # scales latents of sd-vae-ft-ema to about unit variance
SPATIAL_STRIDE = 8
LATENT_CHANNELS = 4


class LatentDistribution(NamedTuple):
    """Scaled latent distribution of N frames, [N, 4, h, w] each: a latent is mean + std * noise."""

    mean: Tensor
    std: Tensor


class VAE:
    """Encode frames to latents and decode them; frozen. Sizes shrink by 8, rounded down."""

    def __init__(self, network: nn.Module, *, micro_batch_size: int = 8) -> None:
        self.network: Any = network.eval().requires_grad_(False)
        self.micro_batch_size = micro_batch_size  # frames in memory at once
        self._digest: str | None = None
        self._compiled = False

    @classmethod
    def from_pretrained(
        cls,
        source: str | PathLike[str] = "stabilityai/sd-vae-ft-ema",
        *,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
        micro_batch_size: int = 8,
    ) -> Self:
        """Load from a Hub id or a folder in diffusers' layout."""
        from diffusers import AutoencoderKL

        network = load_whole(AutoencoderKL, source, torch_dtype=dtype)
        return cls(network.to(device), micro_batch_size=micro_batch_size)

    @classmethod
    def tiny_random(cls, seed: int) -> Self:
        """Build a toy-size VAE with random weights that the seed determines."""
        from diffusers import AutoencoderKL

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = AutoencoderKL(
                down_block_types=("DownEncoderBlock2D",) * 4,
                up_block_types=("UpDecoderBlock2D",) * 4,
                block_out_channels=(8, 8, 8, 8),
                norm_num_groups=4,
                latent_channels=LATENT_CHANNELS,
            )
        return cls(network)

    @property
    def digest(self) -> str:
        """Return sha256 over configuration, weights and their precision: its latents' key."""
        if self._digest is None:
            self._digest = weights_digest(self.network, dict(self.network.config))
        return self._digest

    @staticmethod
    def latent_size(height: int, width: int) -> tuple[int, int]:
        """Return (h, w) of the latent of an image of this many pixels."""
        return height // SPATIAL_STRIDE, width // SPATIAL_STRIDE

    def to(self, device: torch.device | str) -> Self:
        self.network.to(device)
        return self

    def compile_network(self, micro_batch_size: int = 32) -> Self:
        """Compile encoder and decoder, channels-last, for micro-batches of this size.

        Channels-last without compilation is slower than the plain network.
        """
        use_channels_last(self.network)
        for half in (self.network.encoder, self.network.decoder):
            half.compile(dynamic=False)
        self.micro_batch_size, self._compiled = micro_batch_size, True
        return self

    @torch.no_grad()
    def encode_distribution(self, frames: Tensor) -> LatentDistribution:
        """Encode frames [N, 3, H, W] in [-1, 1] to scaled mean and std [N, 4, h, w] float32."""
        return LatentDistribution(
            *self._in_micro_batches(frames, self._latent_distribution).chunk(2, dim=1)
        )

    def encode_window(self, pixels: Tensor) -> dict[str, Tensor]:
        """Return `encode_distribution` by name, as a `LatentCodec` does."""
        return self.encode_distribution(pixels)._asdict()

    def save(self, folder: Path) -> None:
        """Write the network in diffusers' layout."""
        self.network.save_pretrained(folder)

    def encode(self, frames: Tensor, generator: Generator | None = None) -> Tensor:
        """Encode frames [N, 3, H, W] in [-1, 1] and sample latents [N, 4, h, w] float32."""
        mean, std = self.encode_distribution(frames)
        noise = torch.randn(mean.shape, generator=generator, device=mean.device)
        return mean + std * noise

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Decode scaled latents [N, 4, h, w] to frames [N, 3, 8h, 8w] float32 in [-1, 1]."""
        return self._in_micro_batches(latents / SCALING_FACTOR, self._pixels).clamp(-1, 1)

    def _in_micro_batches(self, x: Tensor, work: Callable[[Tensor], Tensor]) -> Tensor:
        """Apply `work` per micro-batch; if compiled, pad the last one to full size with zeros."""
        outputs = []
        with torch.backends.cudnn.flags(enabled=True, benchmark=True):  # off by default
            for part in torch.split(x, self.micro_batch_size):
                missing = self.micro_batch_size - len(part) if self._compiled else 0
                padded = F.pad(part, (0, 0, 0, 0, 0, 0, 0, missing))
                outputs.append(work(self._cast(padded))[: len(part)])
        return torch.cat(outputs)

    def _latent_distribution(self, frames: Tensor) -> Tensor:
        latents = self.network.encode(frames).latent_dist
        return SCALING_FACTOR * torch.cat([latents.mean.float(), latents.std.float()], dim=1)

    def _pixels(self, latents: Tensor) -> Tensor:
        pixels: Tensor = self.network.decode(latents).sample
        return pixels.float()

    def _cast(self, x: Tensor) -> Tensor:
        weight = next(self.network.parameters())
        layout = torch.channels_last if self._compiled else torch.contiguous_format
        return x.to(device=weight.device, dtype=weight.dtype, memory_format=layout)
