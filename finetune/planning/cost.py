"""Estimate the cost of training on a device: FLOP, memory, and speed.

A model family counts its FLOP and parameters. It measured two figures: the share of its peak matrix
speed that a GPU reaches (MFU), and activation memory per token (docs/finetune-recipes.md).
"""

from __future__ import annotations

import os
import timeit
from dataclasses import dataclass, replace

import torch

from brickfilm.schema.buckets import aspect_ratios
from finetune.config import Bucket, Recipe
from finetune.errors import EngineError
from finetune.models import find_family
from finetune.models.block_offload import SLOTS
from finetune.models.family import TINY_RANDOM
from finetune.planning.links import PCIE_GB_S

GIB = 2**30
CPU = "cpu"


@dataclass(frozen=True)
class DeviceSpec:
    """A GPU by its data sheet, or this machine's CPU by measurement."""

    name: str
    memory_gib: float
    tflops: float  # dense; bf16 on a GPU, float32 on a CPU
    is_cpu: bool = False


# Memory that a process can use, in GiB, and TFLOP/s of dense bfloat16 with float32 sums, by
# NVIDIA's data sheets (for RTX cards the GA102, Ada and Blackwell white papers). Only the H200 and
# the H100 were at hand.
GPUS = {
    "b200": DeviceSpec("B200", 167, 2250),
    "h200": DeviceSpec("H200 SXM", 139, 989),
    "h100": DeviceSpec("H100 SXM", 79, 989),
    "a100-80": DeviceSpec("A100 80 GB", 79, 312),
    "a100-40": DeviceSpec("A100 40 GB", 39, 312),
    "l40s": DeviceSpec("L40S", 44, 362),
    "a6000": DeviceSpec("RTX A6000", 47, 155),
    "5090": DeviceSpec("RTX 5090", 31, 209),
    "4090": DeviceSpec("RTX 4090", 23.5, 165),
    "3090": DeviceSpec("RTX 3090", 23.5, 71),
}
MEASURED = GPUS["h200"].name
"""The GPU on which speeds were measured: shares of the data sheet are taken from it to others."""


GPUS_OF_NODE = 8  # over which "hsdp" shards, as servers of these GPUs have them
CPU_MFU = 0.3  # tiny/cpu on two idle threads reached 33 %
# bytes per trained parameter: weights in bfloat16, float32 gradients; weights and two moments; EMA
COPY_BYTES, STATE_BYTES, EMA_BYTES = 6, 12, 4
STATE_BYTES_8BIT = 4 + 2 * (1 + 4 / 256)  # moments of a byte, and a scale for each block of 256


@dataclass(frozen=True)
class ClipCost:
    """Cost of one clip of a bucket."""

    tokens: int
    tflop: float  # forward and backward, recomputation included
    peak_tflop: float  # what a GPU would do in the same time at its data sheet's rate
    copied_gb: float = 0.0  # weights of offloaded blocks, for the forward and the backward pass


def clip_cost(bucket: Bucket, recipe: Recipe) -> ClipCost:
    """Return the cost of a clip at the resolution's nominal size."""
    cost = find_family(recipe.family).cost
    clip = bucket.frames, *nominal_size(bucket.resolution)
    attention = cost.attention_tflop(recipe, *clip)
    linear = cost.forward_tflop(recipe, *clip) - attention
    again = _recomputed_blocks(bucket, recipe) / cost.blocks(recipe)
    linear *= (2 if recipe.adapter else 3) + again  # frozen weights have no gradients
    attention *= 3 + again * (not (cost.keeps_attention and recipe.keep_attention))
    peak = linear / cost.mfu(recipe) + attention / cost.attention_mfu(recipe)
    copied = 2 * _block_bytes(recipe) * _offloaded(recipe) / bucket.clips_per_pass / 1e9
    return ClipCost(cost.tokens(*clip), linear + attention, peak, copied)


def nominal_size(resolution: str) -> tuple[int, int]:
    """Return the height and width of a resolution at 16:9."""
    sizes = aspect_ratios()[resolution]
    return sizes.get("0.56") or next(iter(sizes.values()))


def _recomputed_blocks(bucket: Bucket, recipe: Recipe) -> int:
    blocks = find_family(recipe.family).cost.blocks(recipe)
    return min(recipe.checkpointed_blocks(bucket), blocks)


def trained_parameters(recipe: Recipe) -> int:
    """Return the number of trained parameters: the adapter's, or all."""
    family = find_family(recipe.family)
    if not recipe.adapter:
        return family.cost.parameters(recipe)
    return family.cost.adapter_parameters(recipe, recipe.adapter.targets or family.lora_targets)


def memory_gib(bucket: Bucket, recipe: Recipe, gpus: int, micro: int) -> float:
    """Return the peak memory of a rank with `micro` clips per pass."""
    cost = find_family(recipe.family).cost
    blocks, recomputed = cost.blocks(recipe), _recomputed_blocks(bucket, recipe)
    # the first blocks are recomputed last, one at a time, when the others' activations are freed
    kept = max(blocks - recomputed, 1) + cost.kept_share(recipe) * recomputed
    token_bytes = cost.activation_bytes(recipe) * kept / blocks
    online = recipe.latents == "online" and recipe.text_encoder != TINY_RANDOM
    rest = cost.reserve_gib + online * cost.encoder_gib
    activations = micro * clip_cost(bucket, recipe).tokens * token_bytes
    return (_weight_bytes(recipe, gpus) + activations) / GIB + rest


def _weight_bytes(recipe: Recipe, gpus: int) -> float:
    """Return the memory of weights, gradients and optimizer states on a rank."""
    trained = trained_parameters(recipe)
    shards = min(gpus, GPUS_OF_NODE) if recipe.strategy == "hsdp" else gpus
    ranks = shards if recipe.engine == "colossalai" or recipe.is_sharded else 1
    states = STATE_BYTES_8BIT if recipe.optimizer.kind == "adamw_8bit" else STATE_BYTES
    states += EMA_BYTES * bool(recipe.optimizer.ema)
    frozen = _frozen_bytes(recipe) / (shards if recipe.is_sharded else 1)
    return frozen + trained * (COPY_BYTES + states / ranks)


def _frozen_bytes(recipe: Recipe) -> float:
    """Return the memory of an adapter's frozen base; 0 without an adapter."""
    if recipe.adapter is None:
        return 0
    cost, width = find_family(recipe.family).cost, _weight_width(recipe)
    elsewhere = max(0, _offloaded(recipe) - SLOTS) * _block_bytes(recipe)
    blocks = _block_bytes(recipe) * cost.blocks(recipe)
    rest = (cost.parameters(recipe) - cost.block_weights(recipe)) * width
    return rest + blocks - elsewhere


def _weight_width(recipe: Recipe) -> int:
    return 4 if recipe.precision == "float32" else 2


def _block_bytes(recipe: Recipe) -> float:
    """Return the memory of a block's frozen matrices."""
    cost = find_family(recipe.family).cost
    is_full = not recipe.adapter or recipe.adapter.base == "full"
    width = _weight_width(recipe) if is_full else 1
    return cost.block_weights(recipe) * width / cost.blocks(recipe)


def _offloaded(recipe: Recipe) -> int:
    return min(recipe.offload_blocks, find_family(recipe.family).cost.blocks(recipe))


def seconds(clip: ClipCost, device: DeviceSpec) -> float:
    """Return how long a device takes for a clip, whose weights are copied at the same time."""
    busy = clip.tflop / CPU_MFU if device.is_cpu else clip.peak_tflop
    return max(busy / device.tflops, clip.copied_gb / PCIE_GB_S)


def find_device(name: str, recipe: Recipe, memory: float | None = None) -> DeviceSpec:
    """Return a GPU of the table, or this CPU for "cpu"; raise EngineError for another name.

    memory: GiB, in place of the GPU's.
    """
    if name == CPU:
        return measure_cpu(recipe.threads)
    if name not in GPUS:
        raise EngineError(f"no GPU {name!r} in the table: choose one of {', '.join([*GPUS, CPU])}")
    if memory is None:
        return GPUS[name]
    return replace(GPUS[name], name=f"{GPUS[name].name} with {memory:g} GiB", memory_gib=memory)


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
