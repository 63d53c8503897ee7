"""Estimate what a recipe takes before it starts: steps, clips, hours, memory, disk."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from finetune.config import Bucket, Recipe
from finetune.data.bucket_coverage import MANY_EPOCHS, BucketCoverage, bucket_coverage
from finetune.data.bucket_coverage import step_shares as bucket_shares
from finetune.data.cache_layout import index_dataset
from finetune.data.hub_stream import check_streamable
from finetune.errors import EngineError
from finetune.models import family_of, find_family
from finetune.planning.communication import Cluster, checkpoint_lines, communication_lines
from finetune.planning.cost import (
    CPU,
    EMA_BYTES,
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
from finetune.planning.remedies import suggest_for_bucket
from finetune.planning.units import format_bytes, format_hours, format_number


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
    if recipe.streaming:
        rate = gpus * sum(count for count, _ in clips) / step
        yield (
            f"streaming        {format_number(rate)} clips/s from the Hub for all GPUs: clips of "
            f"1 MB are {format_number(8 * rate)} Mbit/s"
        )
    if spec.is_cpu:
        yield f"time             {format_hours(hours)}, at the CPU's present load"
    else:
        wall_time = format_hours(hours)
        yield f"GPU-hours        {format_number(hours * gpus)} ({wall_time} of wall time)"
        if price is not None:
            yield f"cost             {hours * gpus * price:,.2f} USD at {price:g} USD a GPU-hour"
    if rounds := _count_validation_rounds(recipe, gpus):
        ask = recipe.validation
        cost = find_family(recipe.family).cost
        video = 2 * ask.steps * cost.forward_tflop(recipe, ask.frames, ask.height, ask.width)
        more = format_hours(rounds * video / reached / 3600)
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
    check_streamable(recipe)
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
    return f"{format_number(epochs)} epochs over {data.clips:,} usable clips{warning}"


def _bucket_line(bucket: Bucket, recipe: Recipe, spec: DeviceSpec, gpus: int) -> str:
    """Return a bucket's cost and memory; raise EngineError, with sizes that fit, for too much."""
    micro, available = bucket.clips_per_pass, spec.memory_gib
    need = memory_gib(bucket, recipe, gpus, micro)
    if need > available:
        raise EngineError(
            f"bucket {bucket} with micro_batch_size {micro} needs {need:.0f} GiB, {spec.name} has "
            f"{available:g}: {suggest_for_bucket(bucket, recipe, available, gpus, spec)}"
        )
    clip = clip_cost(bucket, recipe)
    return (
        f"{bucket!s:<16} {clip.tokens:,} tokens and {format_number(clip.tflop)} TFLOP per clip; "
        f"micro_batch_size {micro}: {need:.0f} of {available:g} GiB"
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
    checkpoint = format_bytes(checkpoint_bytes(recipe))
    lines = [
        f"checkpoints      {checkpoint} each, {kept} kept, one more while writing",
        f"cache            up to {format_bytes(cached)} for {of}, {recipe.cache_dtype}",
    ]
    return lines[: 1 if recipe.streaming else 2]


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
