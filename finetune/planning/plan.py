"""Estimate what a recipe takes before it starts: steps, clips, hours, memory, disk."""

from __future__ import annotations

import math
from collections.abc import Iterator
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
from finetune.planning.cost import (
    CPU,
    GIB,
    DeviceSpec,
    clip_cost,
    find_device,
    memory_gib,
    mfu,
    nominal_size,
)


class UsableClips(NamedTuple):
    """The clips of a local dataset that a recipe can use."""

    coverage: BucketCoverage
    frames: int  # of all usable clips

    @property
    def clips(self) -> int:
        return sum(self.coverage.clips_per_bucket.values())


def plan(recipe: Recipe, *, gpu: str | None = None, gpus: int = 1) -> str:
    """Return the plan as text, for a GPU of the table or "cpu"; by default an H100.

    Raise EngineError if no batch fits the GPU, ConfigError if the family lacks what is asked for.
    """
    family = family_of(recipe)
    device_spec = find_device(gpu or (CPU if recipe.device == "cpu" else "h100"), recipe)
    data = _count_usable_clips(recipe)
    shares = step_shares(recipe.buckets, data).items()
    samples = round(recipe.steps * sum(s * b.batch_size for b, s in shares) * gpus)
    lines = [
        f"network          {family.cost.parameters(recipe):,} parameters",
        f"steps            {recipe.steps:,}",
        f"samples          {samples:,} = {_epochs_text(recipe, data, samples)}",
        *_time_lines(recipe, data, device_spec, gpus),
        *(_bucket_line(b, recipe, device_spec, gpus) for b in recipe.buckets),
        *_disk_lines(recipe, data),
        *(str(data.coverage).splitlines() if data else ()),
    ]
    return "\n".join(lines)


def _time_lines(
    recipe: Recipe, data: UsableClips | None, spec: DeviceSpec, gpus: int
) -> Iterator[str]:
    """Yield the device's speed, the hours of this plan, and the published hours."""
    share = mfu(recipe, spec)
    tflop_per_hour = spec.tflops * share * 3600
    shares = step_shares(recipe.buckets, data).items()
    step = sum(part * b.batch_size * clip_cost(b, recipe).tflop for b, part in shares)
    hours = recipe.steps * step / tflop_per_hour
    yield f"hardware         {gpus} x {spec.name}, at {share:.0%} of {spec.tflops:g} TFLOP/s"
    if spec.is_cpu:
        yield f"time             {_format_hours(hours)}, at the CPU's present load"
    else:
        wall_time = _format_hours(hours)
        yield f"GPU-hours        {_format_number(hours * gpus)} ({wall_time} of wall time)"
    if rounds := _count_validation_rounds(recipe, gpus):
        ask = recipe.validation
        cost = find_family(recipe.family).cost
        video = 2 * ask.steps * cost.forward_tflop(recipe, ask.frames, ask.height, ask.width)
        more = _format_hours(rounds * video / tflop_per_hour)
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
            f"bucket {bucket} with micro_batch_size {micro} needs {need:.0f} GiB, a {spec.name} "
            f"has {available:g}: {_suggest_for_bucket(bucket, recipe, available, gpus)}"
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


def _suggest_for_bucket(bucket: Bucket, recipe: Recipe, memory: float, gpus: int) -> str:
    """Return the largest micro-batch that fits into `memory` GiB, or another remedy."""
    sizes = range(1, bucket.clips_per_pass)
    fits = [n for n in sizes if memory_gib(bucket, recipe, gpus, n) <= memory]
    if fits:
        return f"micro_batch_size = {max(fits)} fits"
    most = find_family(recipe.family).cost.blocks(recipe)
    for blocks in range(recipe.checkpointed_blocks(bucket) + 1, most + 1):
        checkpointed = replace(bucket, activation_checkpointing=blocks)
        if memory_gib(checkpointed, recipe, gpus, 1) <= memory:
            return f"micro_batch_size = 1 with activation_checkpointing = {blocks} fits"
    return "no batch fits; take a larger GPU, or more of them with strategy fsdp2 or zero2"


def _disk_lines(recipe: Recipe, data: UsableClips | None) -> list[str]:
    """Return the sizes of checkpoints and cache."""
    kept = recipe.checkpoints.keep_last or recipe.steps // recipe.checkpoints.every
    frames, clips = (data.frames, data.clips) if data else (200, 1)
    family = find_family(recipe.family)
    size = max((nominal_size(b.resolution) for b in recipe.buckets), key=math.prod)
    latents = 2 * math.prod(family.latent_shape(frames, *size))  # mean and std
    values = latents + clips * recipe.text_tokens * recipe.network.caption_channels
    cached = values * (4 if recipe.cache_dtype == "float32" else 2)
    of = f"the {clips:,} usable clips" if data else "a clip of 200 frames"
    checkpoint = _format_bytes(16 * family.cost.parameters(recipe))
    return [
        f"checkpoints      {checkpoint} each, {kept} kept, one more while writing",
        f"cache            up to {_format_bytes(cached)} for {of}, {recipe.cache_dtype}",
    ]


def _format_number(value: float) -> str:
    """Format with two digits at least."""
    return f"{value:,.1f}" if value >= 1 else f"{value:.2g}"


def _format_hours(hours: float) -> str:
    if hours >= 1:
        return f"{hours:,.1f} h"
    return f"{60 * hours:.1f} min" if hours >= 1 / 60 else f"{3600 * hours:.1f} s"


def _format_bytes(count: float) -> str:
    return f"{count / GIB:,.1f} GiB" if count >= GIB else f"{count / 2**20:,.1f} MiB"
