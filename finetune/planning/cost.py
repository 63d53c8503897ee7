"""Estimate the cost of training on a device: FLOP, memory, and speed.

FLOP are counted from the network's shape. Two figures are measured: the share of its peak matrix
speed that a device reaches (MFU), and activation memory per token (docs/finetune-recipes.md).
"""

from __future__ import annotations

import os
import timeit
from dataclasses import dataclass

import torch

from brickfilm.schema.buckets import aspect_ratios
from finetune.config import Bucket, Network, Recipe
from finetune.errors import EngineError

GIB = 2**30
CPU = "cpu"


@dataclass(frozen=True)
class DeviceSpec:
    """A GPU by its data sheet, or this machine's CPU by measurement."""

    name: str
    memory_gib: float
    tflops: float  # dense; bf16 on a GPU, float32 on a CPU
    is_cpu: bool = False


GPUS = {
    "h200": DeviceSpec("H200 SXM", 139, 989),
    "h100": DeviceSpec("H100 SXM", 79, 989),
    "a100-80": DeviceSpec("A100 80 GB", 79, 312),
    "a100-40": DeviceSpec("A100 40 GB", 39, 312),
    "l40s": DeviceSpec("L40S", 44, 362),
    "4090": DeviceSpec("RTX 4090", 23.5, 165),
}


@dataclass(frozen=True)
class MeasuredSpeed:
    """Speed of XL/2 in bfloat16 on one H200: 360p, micro-batches of 1, no recomputation."""

    mfu: float  # share of the data sheet's FLOP/s
    activation_bytes_per_token: int


# 3.08 clips/s of 32 frames and 1.54 of 64 on 2026-11-26: 51 % of the 785 TFLOP/s that a large
# matrix product reaches there, 41 % of the data sheet's; peaks of 71.1 and 126.7 GiB.
WITH_KERNELS = MeasuredSpeed(0.41, 1_980_000)
WITHOUT_KERNELS = MeasuredSpeed(0.24, 2_260_000)  # PyTorch's operations, blocks compiled
# tiny/cpu on two idle threads reached 33 %
ON_CPU = MeasuredSpeed(0.3, 2_260_000)
CHECKPOINTED_SHARE = 0.3  # inputs of all recomputed blocks together, of a block's activations
ONLINE_GIB = 9.4  # T5 XXL and the VAE in the step: 80.5 of 71.1 GiB on 2026-11-26
STATE_BYTES = 22  # per parameter: bf16 weights; float32 weights, gradients, two moments, EMA
RESERVE_GIB = 3.0  # context, allocator, one clip's batch


@dataclass(frozen=True)
class ClipCost:
    """Cost of one clip of a bucket."""

    tokens: int
    tflop: float  # forward and backward, recomputation included


def count_parameters(network: Network) -> int:
    """Return the trained parameters of a network of this shape; 767,452,064 for XL/2."""
    d, text = network.hidden_size, network.caption_channels
    block = 2 * (4 * d * d + 4 * d) + 4 * (d // network.num_heads)  # two self-attentions
    block += 4 * d * d + 4 * d  # cross-attention
    block += 8 * d * d + 5 * d + 9 * d  # MLP, modulation tables
    third = d // 3
    small = 2 * (256 * third + third + third * third + third)
    large = 3 * (256 * d + d + d * d + d) + 9 * (d * d + d)
    ends = 16 * d + d + 32 * d + 32 + 2 * d + text * d + d + d * d + d
    return network.depth * block + small + large + ends


def forward_tflop(recipe: Recipe, frames: int, height: int, width: int) -> float:
    """Return the TFLOP of a forward pass of one clip; height and width in pixels."""
    patches = _patches_per_frame(height, width)
    tokens, d = frames * patches, recipe.network.hidden_size
    linear = 2 * tokens * 18 * d * d  # two self-attentions, cross-attention, MLP
    attention = 4 * tokens * d * (patches + frames + recipe.text_tokens)
    text = 2 * recipe.text_tokens * 2 * d * d
    return recipe.network.depth * (linear + attention + text) / 1e12


def _patches_per_frame(height: int, width: int) -> int:
    return -(-(height // 8) // 2) * -(-(width // 8) // 2)


def clip_cost(bucket: Bucket, recipe: Recipe) -> ClipCost:
    """Return the cost of a clip at the resolution's nominal size."""
    sizes = aspect_ratios()[bucket.resolution]
    height, width = sizes.get("0.56") or next(iter(sizes.values()))
    passes = 3 + recipe.checkpointed_blocks(bucket) / recipe.network.depth
    tflop = passes * forward_tflop(recipe, bucket.frames, height, width)
    return ClipCost(bucket.frames * _patches_per_frame(height, width), tflop)


def memory_gib(bucket: Bucket, recipe: Recipe, gpus: int, micro: int) -> float:
    """Return the peak memory of a rank with `micro` clips per pass."""
    network = recipe.network
    ranks = gpus if recipe.engine == "colossalai" or recipe.strategy == "fsdp2" else 1
    states = count_parameters(network) * (6 + (STATE_BYTES - 6) / ranks)
    share = network.depth * network.hidden_size / (28 * 1152)
    recomputed = recipe.checkpointed_blocks(bucket)
    # the first blocks are recomputed last, one at a time, when the others' activations are freed
    blocks = max(network.depth - recomputed, 1) + CHECKPOINTED_SHARE * recomputed / network.depth
    token_bytes = measured_speed(recipe).activation_bytes_per_token * share * blocks / network.depth
    online = recipe.latents == "online" and recipe.text_encoder != "tiny-random"
    rest = RESERVE_GIB + online * ONLINE_GIB
    return (states + micro * clip_cost(bucket, recipe).tokens * token_bytes) / GIB + rest


def measured_speed(recipe: Recipe) -> MeasuredSpeed:
    """Return the speed measured with the recipe's kernels, or without."""
    return WITH_KERNELS if recipe.kernels and recipe.compile else WITHOUT_KERNELS


def mfu(recipe: Recipe, device: DeviceSpec) -> float:
    """Return the share of its peak FLOP/s that training reaches on a device."""
    return ON_CPU.mfu if device.is_cpu else measured_speed(recipe).mfu


def find_device(name: str, recipe: Recipe) -> DeviceSpec:
    """Return a GPU of the table, or this CPU for "cpu"; raise EngineError for another name."""
    if name == CPU:
        return measure_cpu(recipe.threads)
    if name not in GPUS:
        raise EngineError(f"no GPU {name!r} in the table: choose one of {', '.join([*GPUS, CPU])}")
    return GPUS[name]


def measure_cpu(threads: int, side: int = 1024) -> DeviceSpec:
    """Measure this CPU's speed in matrix products with so many threads; 0: as torch is set."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    matrix = torch.ones(side, side)
    seconds = min(timeit.repeat(lambda: matrix @ matrix, number=1, repeat=5))
    name = f"CPU with {torch.get_num_threads()} threads"
    torch.set_num_threads(before)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    return DeviceSpec(name, round(memory, 1), round(2 * side**3 / seconds / 1e12, 3), is_cpu=True)
