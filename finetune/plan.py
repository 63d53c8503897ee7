"""What a recipe will take, before anything starts: steps, clips, GPU-hours, memory, disk.

Arithmetic is counted from the network's shape. Two figures are measured, not counted: the share of
its matrix rate that a GPU reaches, and activation memory a token (docs/finetune-recipes.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from finetune.config import Bucket, Network, Recipe
from finetune.data.buckets import aspect_ratios, nominal_pixels
from finetune.data.index import build_index
from finetune.data.stores import index_folder
from finetune.data.survival import Survival, survival
from finetune.errors import EngineError
from finetune.ranks import rank_and_world

GIB = 2**30


@dataclass(frozen=True)
class Gpu:
    """A GPU by its data sheet."""

    name: str
    memory_gib: float
    tflops: float  # dense bf16


GPUS = {
    "h200": Gpu("H200 SXM", 139, 989),
    "h100": Gpu("H100 SXM", 79, 989),
    "a100-80": Gpu("A100 80 GB", 79, 312),
    "a100-40": Gpu("A100 40 GB", 39, 312),
    "l40s": Gpu("L40S", 44, 362),
    "4090": Gpu("RTX 4090", 23.5, 165),
}


@dataclass(frozen=True)
class Measured:
    """XL/2 in bfloat16 on one H200, clips of 360p one by one, nothing recomputed."""

    reached: float  # of the data sheet's rate
    token_bytes: int  # activations a token


# 3.17 clips/s of 32 frames on 2026-11-22: 53 % of the 780 TFLOP/s that a large product reaches
# there, 42 % of the data sheet's (64 frames: 39 %, older kernels); peaks of 71.1 and 127.8 GiB.
WITH_KERNELS = Measured(0.42, 1_980_000)
PLAIN = Measured(0.24, 2_260_000)  # PyTorch alone, its blocks compiled
STATE_BYTES = 22  # a parameter: bf16 weights, float32 weights, gradients, two moments, average
RESERVE_GIB = 3.0  # context, allocator, one clip's batch


@dataclass(frozen=True)
class Cost:
    """One clip of a bucket."""

    tokens: int
    tflop: float  # forward and backward, recomputing counted


def parameters(network: Network) -> int:
    """Trained parameters of a network of this shape; 767,452,064 for XL/2."""
    d, text = network.hidden_size, network.caption_channels
    block = 2 * (3 * d * d + 3 * d + d * d + d) + 4 * (
        d // network.num_heads
    )  # two self-attentions
    block += 4 * d * d + 4 * d  # to the text
    block += 8 * d * d + 5 * d + 9 * d  # MLP, modulation tables
    third = d // 3
    small = 2 * (256 * third + third + third * third + third)
    large = 3 * (256 * d + d + d * d + d) + 9 * (d * d + d)
    ends = 16 * d + d + 32 * d + 32 + 2 * d + text * d + d + d * d + d
    return network.depth * block + small + large + ends


def cost(bucket: Bucket, recipe: Recipe) -> Cost:
    """Arithmetic of one clip at the resolution's nominal size."""
    sizes = aspect_ratios()[bucket.resolution]
    height, width = sizes.get("0.56") or next(iter(sizes.values()))
    places = -(-(height // 8) // 2) * -(-(width // 8) // 2)
    tokens, d = bucket.frames * places, recipe.network.hidden_size
    linear = 2 * tokens * 18 * d * d  # qkv and out twice, to the text, MLP
    attention = 4 * tokens * d * (places + bucket.frames + recipe.text_tokens)
    text = 2 * recipe.text_tokens * 2 * d * d
    forward = recipe.network.depth * (linear + attention + text)
    return Cost(tokens, forward * (4 if recipe.recompute else 3) / 1e12)


def memory_gib(bucket: Bucket, recipe: Recipe, gpus: int, micro: int) -> float:
    """Peak memory of a rank at this micro-batch."""
    network = recipe.network
    split = gpus if recipe.engine == "colossalai" or recipe.strategy == "fsdp2" else 1
    states = parameters(network) * (6 + (STATE_BYTES - 6) / split)
    share = network.depth * network.hidden_size / (28 * 1152)
    kept = measured(recipe).token_bytes * share * (2 / network.depth if recipe.recompute else 1)
    return (states + micro * cost(bucket, recipe).tokens * kept) / GIB + RESERVE_GIB


def measured(recipe: Recipe) -> Measured:
    """What was measured with the recipe's kernels, or without."""
    return WITH_KERNELS if recipe.kernels and recipe.compile else PLAIN


def plan(recipe: Recipe, *, gpu: str, gpus: int) -> str:
    """The plan as text; raises EngineError if no batch fits the GPU."""
    if gpu not in GPUS:
        raise EngineError(f"no GPU {gpu!r} is known: choose one of {', '.join(GPUS)}")
    card, reached = GPUS[gpu], measured(recipe).reached
    table = _survival(recipe)
    turns = shares(recipe.buckets, table)
    step = sum(
        share * bucket.batch * cost(bucket, recipe).tflop / (card.tflops * reached)
        for bucket, share in turns.items()
    )
    clips = sum(share * bucket.batch for bucket, share in turns.items())
    hours = recipe.steps * step * gpus / 3600
    lines = [
        f"network          {parameters(recipe.network):,} parameters",
        f"steps            {recipe.steps:,}",
        f"clips            {round(recipe.steps * clips * gpus):,}, {_told(recipe, table)}",
        f"hardware         {gpus} x {card.name}, at {reached:.0%} of {card.tflops:g} TFLOP/s",
        f"GPU-hours        {hours:,.1f} ({hours / gpus:,.1f} h of wall time)",
    ]
    if recipe.published:
        lines.append(
            f"published        {recipe.published.gpu_hours:g} on H100, {recipe.published.stage}"
        )
    lines += [_bucket_line(b, recipe, card, gpus) for b in recipe.buckets]
    return "\n".join([*lines, *_disk(recipe), *(str(table).splitlines() if table else ())])


def shares(buckets: tuple[Bucket, ...], table: Survival | None) -> dict[Bucket, float]:
    """Which part of the steps each bucket has: a pass takes every clip of every bucket once.

    Without a table of the dataset's clips, all buckets are taken to have equally many.
    """
    clips: Mapping[str, int] = table.buckets if table else {}
    steps = {b: clips.get(f"{b.resolution} x {b.frames}", 1) / b.batch for b in buckets}
    return {bucket: count / sum(steps.values()) for bucket, count in steps.items()}


def _survival(recipe: Recipe) -> Survival | None:
    """Clips by bucket, if the dataset lies on this disk."""
    if not Path(recipe.dataset).exists():
        return None
    return survival(build_index(recipe.dataset, index_folder(recipe)), recipe)


def _told(recipe: Recipe, table: Survival | None) -> str:
    if table is None:
        return f"equally many for each bucket: {recipe.dataset} is not here"
    return f"passes over the {sum(table.buckets.values()):,} usable ones"


def _bucket_line(bucket: Bucket, recipe: Recipe, card: Gpu, gpus: int) -> str:
    """Memory of a bucket, or the error that says what would fit."""
    micro = bucket.micro or bucket.batch
    need = memory_gib(bucket, recipe, gpus, micro)
    name = f"{bucket.resolution} x {bucket.frames}"
    if need > card.memory_gib:
        raise EngineError(
            f"bucket {name} with micro {micro} needs {need:.0f} GiB, a {card.name} has "
            f"{card.memory_gib:g}: {_fitting(bucket, recipe, card.memory_gib, gpus)}"
        )
    clip = cost(bucket, recipe)
    return (
        f"{name:<16} {clip.tokens:,} tokens and {clip.tflop:.1f} TFLOP a clip; "
        f"micro {micro}: {need:.0f} of {card.memory_gib:g} GiB"
    )


def what_fits(recipe: Recipe, device: torch.device) -> str:
    """What to change after a step ran out of memory: the batch of each bucket that fits by count.

    An eighth of the memory is left to whatever the count does not know.
    """
    _, total = torch.cuda.mem_get_info(device) if device.type == "cuda" else (0, 0)
    _, gpus = rank_and_world()
    found = {
        f"{b.resolution} x {b.frames}": _fitting(b, recipe, total / GIB * 7 / 8, gpus)
        for b in recipe.buckets
    }
    return "; ".join(f"bucket {name}: {hint}" for name, hint in found.items())


def _fitting(bucket: Bucket, recipe: Recipe, memory: float, gpus: int) -> str:
    """The largest micro-batch that fits into so many GiB, or what else to do."""
    micro = bucket.micro or bucket.batch
    fits = [n for n in range(1, micro) if memory_gib(bucket, recipe, gpus, n) <= memory]
    if fits:
        return f"micro = {max(fits)} fits"
    saving = replace(recipe, recompute=True)
    if not recipe.recompute and memory_gib(bucket, saving, gpus, 1) <= memory:
        return "micro = 1 with recompute = true fits"
    return "no batch fits; take a larger GPU, or more of them with strategy fsdp2 or zero2"


def _disk(recipe: Recipe) -> list[str]:
    """Checkpoints and cache."""
    checkpoint = 16 * parameters(recipe.network) / GIB
    kept = recipe.checkpoints.keep or recipe.steps // recipe.checkpoints.every
    width = 4 if recipe.cache_dtype == "float32" else 2
    pixels = max(nominal_pixels(b.resolution) for b in recipe.buckets)
    clip = 200 * (pixels // 64) * 8 * width / 2**20
    return [
        f"checkpoints      {checkpoint:.1f} GiB each, {kept} kept, one more while writing",
        f"cache            up to {clip:.1f} MiB a clip of 200 frames, {recipe.cache_dtype}",
    ]
