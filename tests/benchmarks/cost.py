"""What a clip costs in arithmetic, and what the machine could do at best."""

from __future__ import annotations

import statistics

import torch

from finetune.models.stdit2.config import STDiT2Config

BACKWARD = 2  # times the forward's products


def forward_flops(config: STDiT2Config, frames: int, rows: int, columns: int) -> float:
    """Multiplications and additions of one clip's forward pass in matrix products.

    rows, columns: of the latent. Every text token counted; elementwise work is not.
    """
    width, text = config.hidden_size, config.model_max_length
    places = -(-rows // config.patch_size[1]) * -(-columns // config.patch_size[2])
    tokens = frames * places
    linear = 2 * tokens * width**2 * (4 + 4 + 2 + 2 * config.mlp_ratio)
    keys = 2 * text * width**2 * 2
    attention = 4 * tokens * width * (places + frames + text)
    return config.depth * (linear + keys + attention)


def training_flops(config: STDiT2Config, frames: int, rows: int, columns: int) -> float:
    """Of one clip, forward and backward, nothing computed twice."""
    return (1 + BACKWARD) * forward_flops(config, frames, rows, columns)


def matmul_ceiling(size: int = 8192, repeats: int = 20) -> float:
    """TFLOP/s of a bfloat16 product of random matrices, the median of some."""
    a, b = (torch.randn(size, size, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for _ in range(5):
        a @ b
    return 2 * size**3 / statistics.median(seconds(lambda: a @ b, repeats)) / 1e12


def seconds(work: object, repeats: int) -> list[float]:
    """GPU time of each of some calls."""
    times = []
    for _ in range(repeats):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        work()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) / 1000)
    return times
