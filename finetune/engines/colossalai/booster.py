"""ColossalAI's Booster around a model; imported on use, since that takes seconds."""

from __future__ import annotations

from typing import Any

import torch

from finetune.config import Recipe
from finetune.engines.adam import adam_kwargs
from finetune.engines.base import Engine, trainable_parameters
from finetune.engines.colossalai.gemini import Gemini
from finetune.engines.colossalai.zero import Zero
from finetune.engines.distributed import rank_and_world_size
from finetune.errors import EngineError

PRECISIONS = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}
INITIAL_LOSS_SCALE = 2.0**16  # in float16


def make_colossalai_engine(model: torch.nn.Module, recipe: Recipe, device: torch.device) -> Engine:
    """Return the engine of the recipe's plugin; raise EngineError if ColossalAI is missing."""
    try:
        from colossalai.booster import Booster

        plugin = _make_plugin(recipe, device)
        booster = Booster(plugin=plugin)
        params = [p for _, p in trainable_parameters(model.to(device))]
        base_optimizer = _make_optimizer(params, recipe)
    except ImportError as error:
        raise EngineError(
            f"engine 'colossalai' cannot be imported ({error}): docs/finetune.md has two ways to "
            "install it; or set engine = 'torch'"
        ) from error
    if device.type not in plugin.supported_devices():
        raise EngineError(
            f"engine 'colossalai' does not train on this {device.type}: take a machine with a GPU, "
            "or set engine = 'torch'"
        )

    def boost(module: torch.nn.Module, optimizer: Any) -> tuple[Any, Any]:
        wrapped, wrapper, *_ = booster.boost(module, optimizer)
        return wrapped, wrapper

    engine = Gemini if recipe.strategy == "gemini" else Zero
    return engine(model, base_optimizer, boost, recipe, device)


def _make_plugin(recipe: Recipe, device: torch.device) -> Any:
    """Return the LowLevelZeroPlugin or GeminiPlugin of the recipe."""
    from colossalai.booster.plugin import GeminiPlugin, LowLevelZeroPlugin

    precision, clip = PRECISIONS[recipe.precision], recipe.optimizer.grad_clip
    if recipe.strategy == "gemini":
        return GeminiPlugin(
            precision=precision,
            initial_scale=INITIAL_LOSS_SCALE,
            max_norm=clip or float("inf"),  # without a limit it does not compute the norm
            enable_gradient_accumulation=True,
            enable_async_reduce=False,  # it would pin a copy of all gradients in host memory
        )
    return LowLevelZeroPlugin(
        stage=1 if recipe.strategy == "zero1" else 2,
        precision=precision,
        initial_scale=INITIAL_LOSS_SCALE,
        max_norm=clip,
        # it waits for the GPU after every micro-batch: a loss where there is nothing to overlap
        overlap_communication=device.type == "cuda" and rank_and_world_size()[1] > 1,
    )


def _make_optimizer(params: list[torch.nn.Parameter], recipe: Recipe) -> Any:
    """Return AdamW, or ColossalAI's HybridAdam, which it compiles at first use."""
    settings = adam_kwargs(recipe.optimizer)
    if recipe.optimizer.kind == "adamw":
        return torch.optim.AdamW(params, **settings)
    from colossalai.nn.optimizer import HybridAdam

    try:
        return HybridAdam(params, **settings)
    except Exception as error:  # HybridAdam raises Exception itself for a failed compilation
        reason = (str(error).splitlines() or [repr(error)])[0]
        raise EngineError(
            f"optimizer.kind 'hybrid_adam' could not be compiled ({reason}): it needs a GPU, and "
            f"in CUDA_HOME the nvcc of torch's CUDA ({torch.version.cuda}); or choose "
            "optimizer.kind = 'adamw' and a strategy other than 'gemini'"
        ) from error
