"""What a recipe will take, before anything starts: steps, clips, hours, memory, disk."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch

from brickfilm.schema.buckets import nominal_pixels
from finetune.config import Bucket, Recipe
from finetune.data.bucket_coverage import BucketCoverage, bucket_coverage
from finetune.data.cache_layout import index_folder
from finetune.data.index import build_index
from finetune.engines.distributed import rank_and_world_size
from finetune.errors import EngineError
from finetune.models.stdit2.config import STDiT2Config
from finetune.planning.cost import (
    CPU,
    GIB,
    DeviceSpec,
    clip_cost,
    count_parameters,
    find_device,
    forward_tflop,
    memory_gib,
    mfu,
)
from finetune.sampling.examples import EXAMPLE_PROMPTS


class UsableClips(NamedTuple):
    """What a dataset on this disk holds for a recipe."""

    coverage: BucketCoverage
    frames: int  # of all usable clips

    @property
    def clips(self) -> int:
        return sum(self.coverage.buckets.values())


def plan(recipe: Recipe, *, gpu: str | None = None, gpus: int = 1) -> str:
    """The plan as text, for a GPU of the table or "cpu" (none: the CPU if the recipe says so).

    Raises EngineError if no batch fits the GPU, ConfigError for a network that cannot be.
    """
    STDiT2Config.from_network(
        recipe.network, text_tokens=recipe.text_tokens
    )  # raises, if it is none
    device_spec = find_device(gpu or (CPU if recipe.device == "cpu" else "h100"), recipe)
    data = _count_usable_clips(recipe)
    clips = sum(s * bucket.batch_size for bucket, s in step_shares(recipe.buckets, data).items())
    lines = [
        f"network          {count_parameters(recipe.network):,} parameters",
        f"steps            {recipe.steps:,}",
        f"clips            {round(recipe.steps * clips * gpus):,}, {_epochs_text(recipe, data)}",
        *_time_lines(recipe, data, device_spec, gpus),
        *(_bucket_line(b, recipe, device_spec, gpus) for b in recipe.buckets),
        *_disk_lines(recipe, data),
        *(str(data.coverage).splitlines() if data else ()),
    ]
    return "\n".join(lines)


def _time_lines(
    recipe: Recipe, data: UsableClips | None, device_spec: DeviceSpec, gpus: int
) -> Iterator[str]:
    """How fast, how long, and how long it took those who published it."""
    share = mfu(recipe, device_spec)
    rate = device_spec.tflops * share * 3600  # TFLOP an hour
    turns = step_shares(recipe.buckets, data).items()
    step = sum(part * bucket.batch_size * clip_cost(bucket, recipe).tflop for bucket, part in turns)
    hours = recipe.steps * step / rate
    yield f"hardware         {gpus} x {device_spec.name}, at {share:.0%} of {device_spec.tflops:g} TFLOP/s"
    if device_spec.is_cpu:
        yield f"time             {_format_hours(hours)}, if it stays as busy as it is"
    else:
        yield f"GPU-hours        {_format_number(hours * gpus)} ({_format_hours(hours)} of wall time)"
    if sampled := _count_samples(recipe, gpus):
        one = 2 * recipe.validation.steps * forward_tflop(recipe, *_sampled_size(recipe))
        yield f"samples          {sampled} rounds of one each, {_format_hours(sampled * one / rate)} more"
    if recipe.published and not device_spec.is_cpu:
        yield f"published        {recipe.published.gpu_hours:g} on H100, {recipe.published.stage}"


def _count_samples(recipe: Recipe, gpus: int) -> int:
    """How often every GPU draws a sample: before the first step, while training, at the end."""
    ask = recipe.validation
    prompts = len(EXAMPLE_PROMPTS) if ask.prompts == "default" else len(ask.prompts)
    times = 1 + math.ceil(recipe.steps / (ask.every or recipe.checkpoints.every))
    last = math.ceil((prompts + len(ask.sweep)) / gpus)
    return (times - 1) * math.ceil(prompts / gpus) + last if prompts else 0


def _sampled_size(recipe: Recipe) -> tuple[int, int, int]:
    ask = recipe.validation
    return ask.frames, ask.height, ask.width


def step_shares(buckets: tuple[Bucket, ...], data: UsableClips | None) -> dict[Bucket, float]:
    """Which part of the steps each bucket has: a pass takes every clip of every bucket once.

    Where the dataset is not here, all buckets are taken to have equally many.
    """
    clips: Mapping[str, int] = data.coverage.buckets if data else {}
    steps = {b: clips.get(f"{b.resolution} x {b.frames}", 1) / b.batch_size for b in buckets}
    return {bucket: count / sum(steps.values()) for bucket, count in steps.items()}


def _count_usable_clips(recipe: Recipe) -> UsableClips | None:
    """The dataset's clips, if it lies on this disk."""
    if not Path(recipe.dataset).exists():
        return None
    index = build_index(recipe.dataset, index_folder(recipe))
    coverage = bucket_coverage(index, recipe)
    return UsableClips(coverage, int(index.clips["frames"][coverage.usable].sum()))


def _epochs_text(recipe: Recipe, data: UsableClips | None) -> str:
    if data is None:
        return f"equally many for each bucket: {recipe.dataset} is not here"
    return f"passes over the {data.clips:,} usable ones"


def _bucket_line(bucket: Bucket, recipe: Recipe, device_spec: DeviceSpec, gpus: int) -> str:
    """Memory of a bucket, or the error that says what would fit."""
    micro = bucket.micro_batch_size or bucket.batch_size
    need = memory_gib(bucket, recipe, gpus, micro)
    name = f"{bucket.resolution} x {bucket.frames}"
    if need > device_spec.memory_gib:
        raise EngineError(
            f"bucket {name} with micro_batch_size {micro} needs {need:.0f} GiB, a {device_spec.name} has "
            f"{device_spec.memory_gib:g}: {_suggest_for_bucket(bucket, recipe, device_spec.memory_gib, gpus)}"
        )
    clip = clip_cost(bucket, recipe)
    return (
        f"{name:<16} {clip.tokens:,} tokens and {_format_number(clip.tflop)} TFLOP a clip; "
        f"micro_batch_size {micro}: {need:.0f} of {device_spec.memory_gib:g} GiB"
    )


def suggest_batch_sizes(recipe: Recipe, device: torch.device) -> str:
    """What to change after a step ran out of memory: the batch of each bucket that fits by count.

    An eighth of the memory is left to whatever the count does not know.
    """
    _, total = torch.cuda.mem_get_info(device) if device.type == "cuda" else (0, 0)
    _, gpus = rank_and_world_size()
    found = {
        f"{b.resolution} x {b.frames}": _suggest_for_bucket(b, recipe, total / GIB * 7 / 8, gpus)
        for b in recipe.buckets
    }
    return "; ".join(f"bucket {name}: {hint}" for name, hint in found.items())


def _suggest_for_bucket(bucket: Bucket, recipe: Recipe, memory: float, gpus: int) -> str:
    """The largest micro-batch that fits into so many GiB, or what else to do."""
    micro = bucket.micro_batch_size or bucket.batch_size
    fits = [n for n in range(1, micro) if memory_gib(bucket, recipe, gpus, n) <= memory]
    if fits:
        return f"micro_batch_size = {max(fits)} fits"
    for blocks in range(recipe.checkpointed_blocks(bucket) + 1, recipe.network.depth + 1):
        if memory_gib(replace(bucket, activation_checkpointing=blocks), recipe, gpus, 1) <= memory:
            return f"micro_batch_size = 1 with activation_checkpointing = {blocks} fits"
    return "no batch fits; take a larger GPU, or more of them with strategy fsdp2 or zero2"


def _disk_lines(recipe: Recipe, data: UsableClips | None) -> list[str]:
    """Checkpoints and cache."""
    kept = recipe.checkpoints.keep_last or recipe.steps // recipe.checkpoints.every
    frames, clips = (data.frames, data.clips) if data else (200, 1)
    places = max(nominal_pixels(b.resolution) for b in recipe.buckets) // 64
    text = recipe.text_tokens * recipe.network.caption_channels
    values = 8 * frames * places + clips * text  # mean and std of four channels, and states
    cached = values * (4 if recipe.cache_dtype == "float32" else 2)
    of = f"the {clips:,} usable clips" if data else "a clip of 200 frames"
    one = _format_bytes(16 * count_parameters(recipe.network))
    return [
        f"checkpoints      {one} each, {kept} kept, one more while writing",
        f"cache            up to {_format_bytes(cached)} for {of}, {recipe.cache_dtype}",
    ]


def _format_number(value: float) -> str:
    """Two digits at least."""
    return f"{value:,.1f}" if value >= 1 else f"{value:.2g}"


def _format_hours(hours: float) -> str:
    if hours >= 1:
        return f"{hours:,.1f} h"
    return f"{60 * hours:.1f} min" if hours >= 1 / 60 else f"{3600 * hours:.1f} s"


def _format_bytes(count: float) -> str:
    """Bytes to read."""
    return f"{count / GIB:,.1f} GiB" if count >= GIB else f"{count / 2**20:,.1f} MiB"
