"""Causal video VAEs of diffusers, with latents normalised per channel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from finetune.models.weights_digest import weights_digest


class VideoVAE:
    """Encode windows of frames to latents and back; frozen.

    A latent is (z - latents_mean) / latents_std per channel, as the network takes it.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network: Any = network.eval().requires_grad_(False)
        self._digest: str | None = None

    @property
    def digest(self) -> str:
        """Return sha256 over configuration, weights and their precision."""
        if self._digest is None:
            self._digest = weights_digest(self.network, dict(self.network.config))
        return self._digest

    @torch.no_grad()
    def encode_window(self, pixels: Tensor) -> dict[str, Tensor]:
        """Encode frames [T, 3, H, W] in [-1, 1] to "mean" and "std" [T', C, h, w] float32."""
        latents = self.network.encode(self.cast(pixels).transpose(0, 1)[None]).latent_dist
        mean, std = self.statistics(latents.mean)
        values = {"mean": (latents.mean - mean) / std, "std": latents.std / std}
        return {name: value[0].transpose(0, 1).float() for name, value in values.items()}

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Decode latents [T', C, h, w] to frames [T, 3, H, W] float32 in [-1, 1]."""
        x = self.cast(latents).transpose(0, 1)[None]
        mean, std = self.statistics(x)
        time = (x.new_zeros(1),) if getattr(self.network.config, "timestep_conditioning", 0) else ()
        pixels: Tensor = self.network.decode(x * std + mean, *time, return_dict=False)[0]
        return pixels[0].transpose(0, 1).float().clamp(-1, 1)

    @property
    def pipeline_parts(self) -> dict[str, Any]:
        """Return parts that a pipeline has beside the VAE, by name."""
        return {}

    def compile_network(self) -> None:
        """Leave it as it is: its caches between chunks of frames break a graph."""

    def save(self, folder: Path) -> None:
        """Write the network in diffusers' layout."""
        self.network.save_pretrained(folder)

    def statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and std of each channel: settings of Wan's VAE, buffers of LTX-Video's."""
        config, shape = self.network.config, (1, -1, 1, 1, 1)
        owner = config if hasattr(config, "latents_mean") else self.network
        mean, std = (
            torch.as_tensor(values, dtype=like.dtype, device=like.device).view(shape)
            for values in (owner.latents_mean, owner.latents_std)
        )
        return mean, std / getattr(config, "scaling_factor", 1.0)

    def cast(self, x: Tensor) -> Tensor:
        """Return a tensor on the network's device and in its precision."""
        weight = next(self.network.parameters())
        return x.to(device=weight.device, dtype=weight.dtype)
