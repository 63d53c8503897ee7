"""Check the values of a recipe, alone and together; each error names a value that would do."""

from __future__ import annotations

import math
from operator import attrgetter
from typing import TYPE_CHECKING

from brickfilm.schema.buckets import resolutions
from finetune.errors import ConfigError

if TYPE_CHECKING:
    from finetune.config.recipe import Bucket, Recipe

AT_LEAST_ONE = """steps frame_interval text_tokens checkpoints.every checkpoints.shard_mib log.every
network.depth network.num_heads network.hidden_size network.caption_channels
loss_spikes.max_consecutive_skips validation.frames validation.height validation.width
validation.steps validation.fps"""
AT_LEAST_ZERO = """seed workers threads checkpoints.keep_last checkpoints.keep_every
loss_spikes.threshold loss_spikes.warmup_steps optimizer.eps optimizer.weight_decay
optimizer.grad_clip schedule.start schedule.peak schedule.final schedule.warmup schedule.cooldown
schedule.offset validation.every validation.guidance validation.seed validation.loss_batches"""
MINIMUM = dict.fromkeys(AT_LEAST_ONE.split(), 1) | dict.fromkeys(AT_LEAST_ZERO.split(), 0)
"""The least value of each numeric setting."""
NON_EMPTY = ("dataset", "out", "init", "vae", "text_encoder", "cache")
"""Settings that name a folder or a model."""
STRATEGIES = {"torch": ("auto", "ddp", "fsdp2"), "colossalai": ("auto", "zero1", "zero2", "gemini")}


def check_recipe(recipe: Recipe) -> None:
    """Raise ConfigError for the first value that is out of range or contradicts another."""
    if not recipe.buckets:
        raise ConfigError("buckets is empty: name at least one of resolution, frames, batch_size")
    for number, bucket in enumerate(recipe.buckets):
        _check_bucket(bucket)
        if str(bucket) in map(str, recipe.buckets[:number]):
            raise ConfigError(f"bucket {bucket} is named twice: take one of the two out")
    _check_numbers(recipe)
    for name in NON_EMPTY:
        if not getattr(recipe, name).strip():
            raise ConfigError(f"{name} is empty: name a folder, or another value it takes")
    _check_engine(recipe)


def _check_numbers(recipe: Recipe) -> None:
    for name, least in MINIMUM.items():
        value = attrgetter(name)(recipe)
        if not least <= value < math.inf:  # NaN neither
            raise ConfigError(f"{name} is {value}: it must be a number, and at least {least}")
    decays = {"optimizer.ema": (recipe.optimizer.ema,), "optimizer.betas": recipe.optimizer.betas}
    for name, values in decays.items():
        if not all(0 <= value < 1 for value in values):
            text = ", ".join(map(str, values))
            raise ConfigError(f"{name} is {text}: choose 0 or more and less than 1")
    if not 0 <= recipe.caption_dropout <= 1:
        raise ConfigError(f"caption_dropout is {recipe.caption_dropout}: choose a share, 0 to 1")


def _check_bucket(bucket: Bucket) -> None:
    if bucket.resolution not in resolutions():
        raise ConfigError(
            f"no resolution {bucket.resolution!r}: choose one of {', '.join(resolutions())}"
        )
    batch_size, micro_batch_size = bucket.batch_size, bucket.micro_batch_size
    if batch_size < 1 or bucket.frames < 1:
        raise ConfigError(
            f"bucket {bucket} has batch_size {batch_size}: batch_size and frames must be at least 1"
        )
    if not 0 <= micro_batch_size <= batch_size:
        raise ConfigError(
            f"bucket {bucket} has micro_batch_size {micro_batch_size}: choose 1 to batch_size "
            f"({batch_size})"
        )
    if not 0 < bucket.keep_prob <= 1:
        raise ConfigError(
            f"bucket {bucket} has keep_prob {bucket.keep_prob}: choose a share above 0 and up to 1"
        )


def _check_engine(recipe: Recipe) -> None:
    known = STRATEGIES[recipe.engine]
    if recipe.strategy not in known:
        raise ConfigError(
            f"engine {recipe.engine!r} has no strategy {recipe.strategy!r}: "
            f"choose one of {', '.join(known)}"
        )
    if recipe.engine == "torch" and recipe.precision == "float16":
        raise ConfigError(
            "precision 'float16' needs a loss scaler, which engine 'torch' does not have: "
            "choose 'bfloat16', or engine = 'colossalai'"
        )
    if recipe.engine == "torch" and recipe.optimizer.kind != "adamw":
        raise ConfigError("optimizer.kind 'hybrid_adam' is ColossalAI's: set engine = 'colossalai'")
    if recipe.strategy == "gemini":
        _check_gemini(recipe)


def _check_gemini(recipe: Recipe) -> None:
    if recipe.precision == "float32":
        raise ConfigError(
            "strategy 'gemini' has no precision 'float32': choose 'bfloat16' or 'float16', or "
            "strategy = 'zero2'"
        )
    if recipe.optimizer.kind != "hybrid_adam":
        raise ConfigError(
            f"strategy 'gemini' has no optimizer.kind {recipe.optimizer.kind!r}: choose "
            "'hybrid_adam', or strategy = 'zero2'"
        )
    if recipe.compile:
        raise ConfigError(
            "strategy 'gemini' moves weights between operations, which a compiled block does not "
            "allow: set compile = false, or strategy = 'zero2'"
        )
