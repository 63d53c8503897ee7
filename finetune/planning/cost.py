"""Estimate the cost of training on a device: FLOP, memory, and speed.

A model family counts its FLOP and parameters. It measured two figures: the share of its peak matrix
speed that a GPU reaches (MFU), and activation memory per token (docs/finetune-recipes.md).
"""

from __future__ import annotations

import os
import timeit
from dataclasses import dataclass

import torch

from brickfilm.schema.buckets import aspect_ratios
from finetune.config import Bucket, Recipe
from finetune.errors import EngineError
from finetune.models import find_family
from finetune.models.family import TINY_RANDOM

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


CPU_MFU = 0.3  # tiny/cpu on two idle threads reached 33 %
CHECKPOINTED_SHARE = 0.3  # inputs of all recomputed blocks together, of a block's activations
STATE_BYTES = 22  # per parameter: bf16 weights; float32 weights, gradients, two moments, EMA
RESERVE_GIB = 3.0  # context, allocator, one clip's batch


@dataclass(frozen=True)
class ClipCost:
    """Cost of one clip of a bucket."""

    tokens: int
    tflop: float  # forward and backward, recomputation included


def clip_cost(bucket: Bucket, recipe: Recipe) -> ClipCost:
    """Return the cost of a clip at the resolution's nominal size."""
    cost = find_family(recipe.family).cost
    clip = bucket.frames, *nominal_size(bucket.resolution)
    passes = 3 + _recomputed_blocks(bucket, recipe) / cost.blocks(recipe)
    return ClipCost(cost.tokens(*clip), passes * cost.forward_tflop(recipe, *clip))


def nominal_size(resolution: str) -> tuple[int, int]:
    """Return the height and width of a resolution at 16:9."""
    sizes = aspect_ratios()[resolution]
    return sizes.get("0.56") or next(iter(sizes.values()))


def _recomputed_blocks(bucket: Bucket, recipe: Recipe) -> int:
    blocks = find_family(recipe.family).cost.blocks(recipe)
    return min(recipe.checkpointed_blocks(bucket), blocks)


def memory_gib(bucket: Bucket, recipe: Recipe, gpus: int, micro: int) -> float:
    """Return the peak memory of a rank with `micro` clips per pass."""
    cost = find_family(recipe.family).cost
    ranks = gpus if recipe.engine == "colossalai" or recipe.strategy == "fsdp2" else 1
    states = cost.parameters(recipe) * (6 + (STATE_BYTES - 6) / ranks)
    blocks, recomputed = cost.blocks(recipe), _recomputed_blocks(bucket, recipe)
    # the first blocks are recomputed last, one at a time, when the others' activations are freed
    kept = max(blocks - recomputed, 1) + CHECKPOINTED_SHARE * recomputed / blocks
    token_bytes = cost.activation_bytes(recipe) * kept / blocks
    online = recipe.latents == "online" and recipe.text_encoder != TINY_RANDOM
    rest = RESERVE_GIB + online * cost.encoder_gib
    return (states + micro * clip_cost(bucket, recipe).tokens * token_bytes) / GIB + rest


def mfu(recipe: Recipe, device: DeviceSpec) -> float:
    """Return the share of its peak FLOP/s that training reaches on a device."""
    return CPU_MFU if device.is_cpu else find_family(recipe.family).cost.mfu(recipe)


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
