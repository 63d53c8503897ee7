"""Overfit a small network to one latent by a family's objective, rightly or with a known fault."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from finetune.config import Flow
from finetune.models.diffusers.base import DiffusersFamily
from finetune.models.family import ClipConditions

BATCH = 8
WAN_STEPS, WAN_SHAPE = 500, (2, 4, 4)  # steps to overfit it; latent frames, rows, columns

Fault = Callable[[pytest.MonkeyPatch, DiffusersFamily], None]
"""A wrong change of the code that trains a family."""


def overfit(
    family: DiffusersFamily,
    network: nn.Module,
    latent: Tensor,
    given: ClipConditions,
    *,
    steps: int,
    fault: Fault | None = None,
) -> nn.Module:
    """Train a network on one latent [1, C, T, h, w] by the family's objective."""
    with pytest.MonkeyPatch.context() as patch:
        if fault:
            fault(patch, family)
        _train(family, network, latent, given, steps)
    return network.eval()


def _train(
    family: DiffusersFamily, network: nn.Module, latent: Tensor, given: ClipConditions, steps: int
) -> None:
    objective = family.objective(Flow())
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.0, fused=True)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, 1e-5)
    generator = torch.Generator().manual_seed(1)
    batch = latent.expand(BATCH, *latent.shape[1:])
    text, extras = (
        {name: tensor.repeat_interleave(BATCH, 0) for name, tensor in tensors.items()}
        for tensors in (given.text, given.extras)
    )
    given = replace(given, text=text, extras=extras, fps=given.fps * BATCH)
    denoise = family.denoiser(network, given)
    for step in range(steps):
        span = family.time_range(step)
        draws = [objective.draw_time(generator, latent.shape[1:], span) for _ in range(BATCH)]
        noise = torch.randn(batch.shape, generator=generator)
        loss = objective.losses(denoise, batch, torch.stack(draws), noise).loss.mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        decay.step()


def wide_wan(channels: int, **settings: Any) -> nn.Module:
    """Return a small random Wan, wider than a token's 4 x channels numbers."""
    from diffusers import WanTransformer3DModel

    torch.manual_seed(0)
    heads = channels // 4
    network: nn.Module = WanTransformer3DModel(
        num_attention_heads=heads,
        attention_head_dim=32,
        ffn_dim=256,
        freq_dim=64,
        num_layers=2,
        text_dim=32,
        rope_max_seq_len=32,
        out_channels=channels,
        **{"in_channels": channels, **settings},
    )
    return network


def flip_sign(patch: pytest.MonkeyPatch, family: DiffusersFamily) -> None:
    right = type(family).denoiser

    def denoiser(*args: Any, **options: Any) -> Any:
        denoise = right(*args, **options)
        return lambda *given: -denoise(*given)

    patch.setattr(type(family), "denoiser", denoiser)


def drop_time_scale(patch: pytest.MonkeyPatch, family: DiffusersFamily) -> None:
    patch.setattr(sys.modules[type(family).denoiser.__module__], "TIME_SCALE", 1)


def invert_shift(patch: pytest.MonkeyPatch, family: DiffusersFamily) -> None:
    right = type(family).timestep_shift
    patch.setattr(type(family), "timestep_shift", lambda self, shape: 1 / right(self, shape))


FAULTS: tuple[Fault, ...] = (flip_sign, drop_time_scale, invert_shift)


def relative_error(found: Tensor, wanted: Tensor) -> float:
    """Return the norm of the difference, in norms of what was wanted."""
    return float((found - wanted).norm() / wanted.norm())


def sampling_error(
    pipeline: Any, text: Tensor, latent: Tensor, *images: Any, stride: int = 8, steps: int = 40
) -> float:
    """Return the relative error of Wan's pipeline, which samples from noise, to a latent.

    latent: [1, C, 2, h, w], of 5 frames. stride: pixels of a latent's row and column.
    """
    pipeline.set_progress_bar_config(disable=True)
    found = pipeline(
        *images,
        prompt_embeds=text,
        height=latent.shape[-2] * stride,
        width=latent.shape[-1] * stride,
        num_frames=5,
        num_inference_steps=steps,
        guidance_scale=1.0,
        latents=torch.randn(latent.shape, generator=torch.Generator().manual_seed(7)),
        output_type="latent",
    ).frames
    return relative_error(found, latent)
