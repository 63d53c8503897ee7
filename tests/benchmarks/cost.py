"""Count the FLOP of a clip, and measure the machine's best FLOP/s."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import torch

from finetune.models.stdit2.config import STDiT2Config

BACKWARD = 2  # times the forward's FLOP


def forward_flops(config: STDiT2Config, frames: int, rows: int, columns: int) -> float:
    """Return the FLOP of one clip's forward pass in matrix products.

    rows, columns: of the latent. All text tokens count; elementwise operations do not.
    """
    width, text = config.hidden_size, config.model_max_length
    patches = -(-rows // config.patch_size[1]) * -(-columns // config.patch_size[2])
    tokens = frames * patches
    linear = 2 * tokens * width**2 * (4 + 4 + 2 + 2 * config.mlp_ratio)
    keys = 2 * text * width**2 * 2
    attention = 4 * tokens * width * (patches + frames + text)
    return config.depth * (linear + keys + attention)


def training_flops(config: STDiT2Config, frames: int, rows: int, columns: int) -> float:
    """Return the FLOP of one clip, forward and backward, without recomputation."""
    return (1 + BACKWARD) * forward_flops(config, frames, rows, columns)


def matmul_ceiling(size: int = 8192, repeats: int = 20) -> float:
    """Return the TFLOP/s of a bfloat16 product of random matrices, the median of `repeats`."""
    a, b = (torch.randn(size, size, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for _ in range(5):
        a @ b
    return 2 * size**3 / statistics.median(seconds(lambda: a @ b, repeats)) / 1e12


def seconds(work: Callable[[], object], repeats: int) -> list[float]:
    """Return the GPU time of each of `repeats` calls."""
    times = []
    for _ in range(repeats):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        work()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) / 1000)
    return times
