"""What a recipe will take, before anything starts: steps, clips, GPU-hours, memory, disk.

Arithmetic is counted from the network's shape. Two figures are measured, not counted: the share of
its matrix rate that a GPU reaches, and activation memory a token (docs/finetune-recipes.md).
"""

from __future__ import annotations

from dataclasses import dataclass

from finetune.config import Bucket, Network, Recipe
from finetune.data.buckets import aspect_ratios, nominal_pixels
from finetune.errors import EngineError

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
REACHED = 0.24  # of the data sheet's rate, plain PyTorch, compiled blocks, on an H200
TOKEN_BYTES = 2_260_000  # activations of XL/2 a token, bf16, nothing recomputed (62 GiB / 29,440)
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
    kept = TOKEN_BYTES * share * (2 / network.depth if recipe.recompute else 1)
    return (states + micro * cost(bucket, recipe).tokens * kept) / GIB + RESERVE_GIB


def plan(recipe: Recipe, *, gpu: str, gpus: int) -> str:
    """The plan as text; raises EngineError if no batch fits the GPU."""
    if gpu not in GPUS:
        raise EngineError(f"no GPU {gpu!r} is known: choose one of {', '.join(GPUS)}")
    card = GPUS[gpu]
    seconds = {b: b.batch * cost(b, recipe).tflop / (card.tflops * REACHED) for b in recipe.buckets}
    mean_step = sum(seconds.values()) / len(seconds)
    mean_clips = sum(b.batch for b in recipe.buckets) / len(recipe.buckets)
    hours = recipe.steps * mean_step * gpus / 3600
    lines = [
        f"network          {parameters(recipe.network):,} parameters",
        f"steps            {recipe.steps:,}",
        f"clips            {round(recipe.steps * mean_clips * gpus):,}, buckets in equal turns",
        f"hardware         {gpus} x {card.name}, at {REACHED:.0%} of {card.tflops:g} TFLOP/s",
        f"GPU-hours        {hours:,.1f} ({hours / gpus:,.1f} h of wall time)",
    ]
    if recipe.published:
        lines.append(
            f"published        {recipe.published.gpu_hours:g} on H100, {recipe.published.stage}"
        )
    lines += [_bucket_line(b, recipe, card, gpus) for b in recipe.buckets]
    return "\n".join([*lines, *_disk(recipe)])


def _bucket_line(bucket: Bucket, recipe: Recipe, card: Gpu, gpus: int) -> str:
    """Memory of a bucket, or the error that says what would fit."""
    micro = bucket.micro or bucket.batch
    need = memory_gib(bucket, recipe, gpus, micro)
    name = f"{bucket.resolution} x {bucket.frames}"
    if need > card.memory_gib:
        fits = [
            n for n in range(1, micro) if memory_gib(bucket, recipe, gpus, n) <= card.memory_gib
        ]
        hint = f"micro = {max(fits)} fits" if fits else _smaller(bucket, recipe, card, gpus)
        raise EngineError(
            f"bucket {name} with micro {micro} needs {need:.0f} GiB, a {card.name} has "
            f"{card.memory_gib:g}: {hint}"
        )
    clip = cost(bucket, recipe)
    return (
        f"{name:<16} {clip.tokens:,} tokens and {clip.tflop:.1f} TFLOP a clip; "
        f"micro {micro}: {need:.0f} of {card.memory_gib:g} GiB"
    )


def _smaller(bucket: Bucket, recipe: Recipe, card: Gpu, gpus: int) -> str:
    from dataclasses import replace

    saving = replace(recipe, recompute=True)
    if memory_gib(bucket, saving, gpus, 1) <= card.memory_gib:
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
