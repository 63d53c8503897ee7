"""Small networks and their inputs, for tests."""

from __future__ import annotations

import torch
from torch import Tensor

from finetune.models.stdit2.network import STDiT2, STDiT2Config

TINY = STDiT2Config(
    depth=2,
    hidden_size=48,
    num_heads=2,
    caption_channels=32,
    model_max_length=8,
    input_sq_size=64,
    class_dropout_prob=0.0,
)


def tiny_model(seed: int = 0, config: STDiT2Config = TINY) -> STDiT2:
    """Return a network without zero weights, so that every branch shows in its output."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = STDiT2(config)
        with torch.no_grad():
            for parameter in model.parameters():
                width = 0.1 if parameter.ndim == 1 else 0.4 / parameter.shape[-1] ** 0.5
                parameter.add_(torch.randn(parameter.shape), alpha=width)
    return model


def inputs(
    *, batch: int = 2, frames: int = 4, rows: int = 6, columns: int = 10, seed: int = 1
) -> dict[str, Tensor]:
    """Return arguments of `STDiT2.forward` without a frame mask; captions differ in length."""
    generator = torch.Generator().manual_seed(seed)
    length, channels = TINY.model_max_length, TINY.caption_channels
    tokens = torch.randint(1, length + 1, (batch, 1), generator=generator)
    return {
        "x": torch.randn(batch, 4, frames, rows, columns, generator=generator),
        "timestep": torch.randint(1000, (batch,), generator=generator).float(),
        "y": torch.randn(batch, 1, length, channels, generator=generator),
        "mask": (torch.arange(length) < tokens).long(),
        "num_frames": torch.full((batch,), float(frames)),
        "height": torch.full((batch,), 8.0 * rows),
        "width": torch.full((batch,), 8.0 * columns),
        "ar": torch.full((batch,), rows / columns),
        "fps": torch.full((batch,), 12.0),
    }
