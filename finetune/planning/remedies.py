"""Suggest settings with which a bucket that is too large fits into a GPU's memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import torch

from finetune.config import Bucket, Recipe
from finetune.engines.distributed import rank_and_world_size
from finetune.models import find_family
from finetune.planning.cost import GIB, GPUS, DeviceSpec, clip_cost, memory_gib, seconds
from finetune.planning.units import format_hours


def suggest_batch_sizes(recipe: Recipe, device: torch.device) -> str:
    """Return the sizes of each bucket that fit, by estimate, after a step ran out of memory.

    An eighth of the memory is left free, for the estimate's error.
    """
    _, total = torch.cuda.mem_get_info(device) if device.type == "cuda" else (0, 0)
    _, gpus = rank_and_world_size()
    return "; ".join(
        f"bucket {b}: {suggest_for_bucket(b, recipe, total / GIB * 7 / 8, gpus)}"
        for b in recipe.buckets
    )


def suggest_for_bucket(
    bucket: Bucket, recipe: Recipe, memory: float, gpus: int, spec: DeviceSpec | None = None
) -> str:
    """Return the largest micro-batch of a bucket that fits into `memory` GiB, or another remedy.

    spec: of the device, to add the time that the remedy takes there.
    """
    sizes = range(1, bucket.clips_per_pass)
    fits = [n for n in sizes if memory_gib(bucket, recipe, gpus, n) <= memory]
    if fits:
        return f"micro_batch_size = {max(fits)} fits"
    most = find_family(recipe.family).cost.blocks(recipe)
    least = math.inf
    for setting, smaller in _smaller_recipes(recipe):
        first = min(recipe.checkpointed_blocks(bucket) + (not setting), most)
        for blocks in range(first, most + 1):
            checkpointed = replace(bucket, activation_checkpointing=blocks)
            least = min(least, memory_gib(checkpointed, smaller, gpus, 1))
            if least <= memory:
                remedy = f"{setting}activation_checkpointing = {blocks} fits"
                time = _remedy_time(bucket, recipe, checkpointed, smaller, spec) if spec else ""
                return f"micro_batch_size = 1 with {remedy}{time}"
    shorter = _frames_that_fit(bucket, setting, smaller, memory, gpus)
    fits_on = [name for name, spec in GPUS.items() if least <= spec.memory_gib > memory]
    larger = f" ({', '.join(fits_on)})" if fits_on else ""
    sharded = "fsdp2" if recipe.adapter else "fsdp2 or zero2"
    return (
        f"no batch fits, the least needs {least:.0f} GiB; {shorter}take a larger GPU{larger}, or "
        f"more of them with strategy {sharded}"
    )


def _frames_that_fit(bucket: Bucket, setting: str, recipe: Recipe, memory: float, gpus: int) -> str:
    """Say which fewer frames fit, one clip a pass with all blocks recomputed; "" for none."""
    family = find_family(recipe.family)
    blocks, grid = family.cost.blocks(recipe), family.grid
    for frames in range(bucket.frames - grid.frame_step, grid.frame_offset, -grid.frame_step):
        smaller = replace(bucket, frames=frames, activation_checkpointing=blocks)
        if memory_gib(smaller, recipe, gpus, 1) <= memory:
            return (
                f"frames = {frames} fit, with micro_batch_size = 1 and {setting}"
                f"activation_checkpointing = {blocks}; or "
            )
    return ""


def _remedy_time(
    bucket: Bucket, recipe: Recipe, smaller: Bucket, remedy: Recipe, spec: DeviceSpec
) -> str:
    """Return the hours of all steps in a bucket made smaller, and what it costs in speed."""
    before = seconds(clip_cost(bucket, recipe), spec)
    clip = clip_cost(replace(smaller, micro_batch_size=1), remedy)
    hours = recipe.steps * bucket.batch_size * seconds(clip, spec) / 3600
    slower = seconds(clip, spec) / before - 1
    return f": {format_hours(hours)} for {recipe.steps:,} steps by estimate, {slower:.0%} slower"


def _smaller_recipes(recipe: Recipe) -> Iterator[tuple[str, Recipe]]:
    """Yield a recipe, then ones that take less memory, and the settings that make them so.

    The first ones compute the same, the last one keeps moments of 8 bits.
    """
    yield "", recipe
    if recipe.adapter and not recipe.is_sharded:
        cost = find_family(recipe.family).cost
        blocks, setting = cost.blocks(recipe), f"offload_blocks = {cost.blocks(recipe)} and "
        offloaded = replace(recipe, offload_blocks=blocks)
        yield setting, offloaded
        if cost.keeps_attention:
            yield f"{setting}keep_attention = false and ", replace(offloaded, keep_attention=False)
    if not recipe.adapter and (recipe.engine, recipe.optimizer.kind) == ("torch", "adamw"):
        yield (
            "optimizer.kind = 'adamw_8bit' and ",
            replace(recipe, optimizer=replace(recipe.optimizer, kind="adamw_8bit")),
        )
