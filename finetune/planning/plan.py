"""Estimate what a recipe takes before it starts: steps, clips, hours, memory, disk."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch

from finetune.config import Bucket, Recipe
from finetune.data.bucket_coverage import MANY_EPOCHS, BucketCoverage, bucket_coverage
from finetune.data.bucket_coverage import step_shares as bucket_shares
from finetune.data.cache_layout import index_dataset
from finetune.engines.distributed import rank_and_world_size
from finetune.errors import EngineError
from finetune.models import family_of, find_family
from finetune.planning.communication import Cluster, checkpoint_lines, communication_lines
from finetune.planning.cost import (
    CPU,
    EMA_BYTES,
    GIB,
    GPUS,
    MEASURED,
    STATE_BYTES,
    DeviceSpec,
    clip_cost,
    find_device,
    memory_gib,
    nominal_size,
    seconds,
    trained_parameters,
)


class UsableClips(NamedTuple):
    """The clips of a local dataset that a recipe can use."""

    coverage: BucketCoverage
    frames: int  # of all usable clips

    @property
    def clips(self) -> int:
        return sum(self.coverage.clips_per_bucket.values())


def plan(
    recipe: Recipe,
    *,
    gpu: str | None = None,
    gpus: int = 1,
    memory: float | None = None,
    nodes: int = 1,
    link_gbit: float | None = None,
    price: float | None = None,
) -> str:
    """Return the plan as text, for a GPU of the table or "cpu"; by default an H100.

    memory: GiB to plan for, in place of the GPU's. nodes: that have the `gpus` together. link_gbit:
    Gbit/s of a node's network in one direction. price: USD of a GPU's hour.

    Raise EngineError if no batch fits the GPU, ConfigError if the family lacks what is asked for.
    """
    family = family_of(recipe)
    cluster = Cluster(gpus=gpus, nodes=nodes, link_gbit=link_gbit)
    name = gpu or (CPU if recipe.device == "cpu" and memory is None else "h100")
    device_spec = find_device(name, recipe, memory)
    data = _count_usable_clips(recipe)
    shares = step_shares(recipe.buckets, data)
    samples = round(recipe.steps * sum(s * b.batch_size for b, s in shares.items()) * gpus)
    sharing = cluster.sharing_gpus(recipe)
    lines = [
        f"network          {_parameters_text(recipe, family.cost.parameters(recipe))}",
        f"steps            {recipe.steps:,}",
        f"samples          {samples:,} = {_epochs_text(recipe, data, samples)}",
        *_time_lines(recipe, data, device_spec, gpus, price),
        *_cluster_lines(recipe, shares, device_spec, name, cluster),
        *(_bucket_line(b, recipe, device_spec, sharing) for b in recipe.buckets),
        *_disk_lines(recipe, data),
        *(str(data.coverage).splitlines() if data else ()),
    ]
    return "\n".join(lines)


def _cluster_lines(
    recipe: Recipe, shares: Mapping[Bucket, float], spec: DeviceSpec, gpu: str, cluster: Cluster
) -> Iterator[str]:
    """Yield what several GPUs send to each other, and several nodes to the disk."""
    if cluster.gpus == 1 or spec.is_cpu:
        return
    step = sum(s * b.batch_size * seconds(clip_cost(b, recipe), spec) for b, s in shares.items())
    passes = sum(s * math.ceil(b.batch_size / b.clips_per_pass) for b, s in shares.items())
    yield from communication_lines(recipe, gpu, cluster, passes, step)
    yield from checkpoint_lines(recipe, gpu, cluster, checkpoint_bytes(recipe) / 1e9, step)


def _time_lines(
    recipe: Recipe, data: UsableClips | None, spec: DeviceSpec, gpus: int, price: float | None
) -> Iterator[str]:
    """Yield the device's speed, the hours of this plan, and the published hours."""
    shares = step_shares(recipe.buckets, data).items()
    clips = [(part * b.batch_size, clip_cost(b, recipe)) for b, part in shares]
    step = sum(count * seconds(clip, spec) for count, clip in clips)
    reached = sum(count * clip.tflop for count, clip in clips) / step
    hours = recipe.steps * step / 3600
    speed = f"{reached / spec.tflops:.0%} of {spec.tflops:g} TFLOP/s"
    measured = spec.name == MEASURED and find_family(recipe.family).cost.is_measured(recipe)
    estimated = "" if spec.is_cpu or measured else ", estimated"
    yield f"hardware         {gpus} x {spec.name}, at {speed}{estimated}"
    if spec.is_cpu:
        yield f"time             {_format_hours(hours)}, at the CPU's present load"
    else:
        wall_time = _format_hours(hours)
        yield f"GPU-hours        {_format_number(hours * gpus)} ({wall_time} of wall time)"
        if price is not None:
            yield f"cost             {hours * gpus * price:,.2f} USD at {price:g} USD a GPU-hour"
    if rounds := _count_validation_rounds(recipe, gpus):
        ask = recipe.validation
        cost = find_family(recipe.family).cost
        video = 2 * ask.steps * cost.forward_tflop(recipe, ask.frames, ask.height, ask.width)
        more = _format_hours(rounds * video / reached / 3600)
        yield f"validation       {rounds} rounds of one video each, {more} more"
    if recipe.published and not spec.is_cpu:
        yield f"published        {recipe.published.gpu_hours:g} on H100, {recipe.published.stage}"


def _count_validation_rounds(recipe: Recipe, gpus: int) -> int:
    """Return how often every rank samples a video: before, during and after training."""
    ask, prompts = recipe.validation, len(recipe.validation.sampled_prompts)
    validations = 1 + math.ceil(recipe.steps / (ask.every or recipe.checkpoints.every))
    last = math.ceil((prompts + len(ask.sweep)) / gpus)
    last += math.ceil(prompts / gpus) if recipe.optimizer.ema else 0  # the other weights
    return (validations - 1) * math.ceil(prompts / gpus) + last if prompts else 0


def _parameters_text(recipe: Recipe, parameters: int) -> str:
    if not recipe.adapter:
        return f"{parameters:,} parameters"
    return f"{parameters:,} parameters, frozen, and {trained_parameters(recipe):,} of its adapter"


def step_shares(buckets: tuple[Bucket, ...], data: UsableClips | None) -> dict[Bucket, float]:
    """Return the share of steps of each bucket: an epoch uses every clip of every bucket once.

    Without a local dataset, all buckets count as equally large.
    """
    return bucket_shares(buckets, data.coverage.clips_per_bucket if data else {})


def _count_usable_clips(recipe: Recipe) -> UsableClips | None:
    """Return the usable clips of a dataset on this disk, or none."""
    if not Path(recipe.dataset).exists():
        return None
    index = index_dataset(recipe)
    coverage = bucket_coverage(index, recipe)
    return UsableClips(coverage, int(index.clips["frames"][coverage.usable].sum()))


def _epochs_text(recipe: Recipe, data: UsableClips | None, samples: int) -> str:
    if data is None:
        return f"the same number of clips for each bucket: {recipe.dataset} is not on this disk"
    epochs = samples / data.clips
    warning = " (WARNING: the clips may be learned by heart)" if epochs > MANY_EPOCHS else ""
    return f"{_format_number(epochs)} epochs over {data.clips:,} usable clips{warning}"


def _bucket_line(bucket: Bucket, recipe: Recipe, spec: DeviceSpec, gpus: int) -> str:
    """Return a bucket's cost and memory; raise EngineError, with sizes that fit, for too much."""
    micro, available = bucket.clips_per_pass, spec.memory_gib
    need = memory_gib(bucket, recipe, gpus, micro)
    if need > available:
        raise EngineError(
            f"bucket {bucket} with micro_batch_size {micro} needs {need:.0f} GiB, {spec.name} has "
            f"{available:g}: {_suggest_for_bucket(bucket, recipe, available, gpus, spec)}"
        )
    clip = clip_cost(bucket, recipe)
    return (
        f"{bucket!s:<16} {clip.tokens:,} tokens and {_format_number(clip.tflop)} TFLOP per clip; "
        f"micro_batch_size {micro}: {need:.0f} of {available:g} GiB"
    )


def suggest_batch_sizes(recipe: Recipe, device: torch.device) -> str:
    """Return the sizes of each bucket that fit, by estimate, after a step ran out of memory.

    An eighth of the memory is left free, for the estimate's error.
    """
    _, total = torch.cuda.mem_get_info(device) if device.type == "cuda" else (0, 0)
    _, gpus = rank_and_world_size()
    return "; ".join(
        f"bucket {b}: {_suggest_for_bucket(b, recipe, total / GIB * 7 / 8, gpus)}"
        for b in recipe.buckets
    )


def _suggest_for_bucket(
    bucket: Bucket, recipe: Recipe, memory: float, gpus: int, spec: DeviceSpec | None = None
) -> str:
    """Return the largest micro-batch that fits into `memory` GiB, or another remedy.

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
    return f": {_format_hours(hours)} for {recipe.steps:,} steps by estimate, {slower:.0%} slower"


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


def _disk_lines(recipe: Recipe, data: UsableClips | None) -> list[str]:
    """Return the sizes of checkpoints and cache."""
    kept = kept_checkpoints(recipe)
    clips = data.clips if data else 1
    values = _latent_values(recipe, data) + (
        clips * recipe.text_tokens * recipe.network.caption_channels
    )
    cached = values * (4 if recipe.cache_dtype == "float32" else 2)
    of = f"the {clips:,} usable clips" if data else "one clip (of 200 frames)"
    checkpoint = _format_bytes(checkpoint_bytes(recipe))
    return [
        f"checkpoints      {checkpoint} each, {kept} kept, one more while writing",
        f"cache            up to {_format_bytes(cached)} for {of}, {recipe.cache_dtype}",
    ]


def kept_checkpoints(recipe: Recipe) -> int:
    """Return how many checkpoints a run keeps; one more is there while it is written."""
    return recipe.checkpoints.keep_last or recipe.steps // recipe.checkpoints.every


def checkpoint_bytes(recipe: Recipe) -> int:
    """Return the size of a checkpoint: weights, two moments, and the EMA."""
    state_bytes = STATE_BYTES + EMA_BYTES * bool(recipe.optimizer.ema)
    return state_bytes * trained_parameters(recipe)


def _latent_values(recipe: Recipe, data: UsableClips | None) -> int:
    """Return the number of values of the cached latents: of all frames, or of the windows."""
    family = find_family(recipe.family)
    if family.frame_latents:
        size = max((nominal_size(b.resolution) for b in recipe.buckets), key=math.prod)
        return 2 * math.prod(family.latent_shape(data.frames if data else 200, *size))
    counts = data.coverage.clips_per_bucket if data else {}
    return sum(
        2 * counts.get(str(b), 1) * recipe.windows_per_clip
        * math.prod(family.latent_shape(b.frames, *nominal_size(b.resolution)))
        for b in recipe.buckets
    )  # fmt: skip


def _format_number(value: float) -> str:
    """Format with two digits at least."""
    return f"{value:,.1f}" if value >= 1 else f"{value:.2g}"


def _format_hours(hours: float) -> str:
    if hours >= 1:
        return f"{hours:,.1f} h"
    return f"{60 * hours:.1f} min" if hours >= 1 / 60 else f"{3600 * hours:.1f} s"


def _format_bytes(count: float) -> str:
    return f"{count / GIB:,.1f} GiB" if count >= GIB else f"{count / 2**20:,.1f} MiB"
