"""Check settings of a recipe that depend on each other or on a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from brickfilm.schema.buckets import resolutions
from finetune.errors import ConfigError

if TYPE_CHECKING:
    from finetune.config.recipe import Bucket, Recipe

STRATEGIES = {
    "torch": ("auto", "ddp", "fsdp2", "hsdp"),
    "colossalai": ("auto", "zero1", "zero2", "gemini"),
}

OPTIMIZER_ENGINES = {"hybrid_adam": "colossalai", "adamw_8bit": "torch"}


def check_recipe(recipe: Recipe) -> None:
    """Raise ConfigError for the first setting that contradicts another."""
    if not recipe.buckets:
        raise ConfigError("buckets is empty: name at least one of resolution, frames, batch_size")
    for number, bucket in enumerate(recipe.buckets):
        _check_bucket(bucket)
        if str(bucket) in map(str, recipe.buckets[:number]):
            raise ConfigError(f"bucket {bucket} is named twice: take one of the two out")
    images, prompts = len(recipe.validation.images), len(recipe.validation.sampled_prompts)
    if images and images != prompts:
        raise ConfigError(
            f"validation.images names {images} files for {prompts} prompts: name one for each "
            "prompt, or none"
        )
    _check_sampling(recipe)
    _check_streaming(recipe)
    _check_engine(recipe)
    _check_adapter(recipe)
    if recipe.strategy == "gemini":
        _check_gemini(recipe)


def _check_bucket(bucket: Bucket) -> None:
    if bucket.resolution not in resolutions():
        raise ConfigError(
            f"no resolution {bucket.resolution!r}: choose one of {', '.join(resolutions())}"
        )
    if bucket.micro_batch_size > bucket.batch_size:
        raise ConfigError(
            f"bucket {bucket} has micro_batch_size {bucket.micro_batch_size}: choose 1 to "
            f"batch_size ({bucket.batch_size})"
        )


def _check_sampling(recipe: Recipe) -> None:
    if (recipe.sampling == "time") != (recipe.target_fps > 0):
        raise ConfigError(
            f"sampling {recipe.sampling!r} and target_fps {recipe.target_fps:g}: set target_fps to "
            "the frames a second that the model plays (Wan 2.1: 16) with sampling = 'time', else 0"
        )
    if recipe.sampling != "interval" and recipe.frame_interval != 1:
        raise ConfigError(
            f"frame_interval {recipe.frame_interval} is of sampling 'interval': leave it out with "
            f"{recipe.sampling!r}"
        )


def _check_streaming(recipe: Recipe) -> None:
    if recipe.streaming and recipe.latents == "cached":
        raise ConfigError(
            "streaming encodes the clips that it reads: set latents = 'online', or streaming = "
            "false to download the dataset and cache its latents"
        )
    if recipe.dataset_config and not recipe.streaming:
        raise ConfigError(
            f"dataset_config {recipe.dataset_config!r} is of streaming: set streaming = true, or "
            "leave it out"
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
    kind = recipe.optimizer.kind
    if (engine := OPTIMIZER_ENGINES.get(kind, recipe.engine)) != recipe.engine:
        raise ConfigError(
            f"optimizer.kind {kind!r} is of engine {engine!r}: set engine = {engine!r}"
        )


def _check_adapter(recipe: Recipe) -> None:
    if recipe.adapter and recipe.engine != "torch":
        raise ConfigError(
            f"adapter is trained with engine 'torch', not {recipe.engine!r}: set engine = 'torch' "
            "and strategy = 'ddp', 'fsdp2' or 'hsdp'"
        )
    if recipe.adapter and recipe.init == "random":
        raise ConfigError("adapter changes pretrained weights: name them as init")
    if recipe.adapter and recipe.adapter.base != "full" and recipe.is_sharded:
        raise ConfigError(
            f"adapter.base {recipe.adapter.base!r} is kept whole on each GPU: set strategy = "
            "'ddp', or adapter.base = 'full'"
        )
    if recipe.offload_blocks and (recipe.adapter is None or recipe.is_sharded):
        raise ConfigError(
            f"offload_blocks {recipe.offload_blocks} copies frozen weights that every rank has: "
            "set it to 0, or train an adapter with strategy = 'ddp'"
        )


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
