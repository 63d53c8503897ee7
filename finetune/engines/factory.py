"""Engines by name: PyTorch's, and ColossalAI's ZeRO-1, ZeRO-2 and Gemini behind the same verbs.

ColossalAI is imported here alone, and only when a recipe asks for it: it takes seconds.
"""

from __future__ import annotations

from typing import Any

import torch

from finetune.config import Recipe
from finetune.engines.base import DataParallel, Engine, adam_kwargs, trainable_parameters
from finetune.engines.colossalai.gemini import Gemini
from finetune.engines.colossalai.zero import Zero
from finetune.engines.distributed import rank_and_world_size
from finetune.engines.fsdp2 import FullySharded
from finetune.errors import EngineError
from finetune.kernels import select_ops
from finetune.models.stdit2.network import STDiT2
from finetune.tensors import DTYPES

COLOSSALAI_PRECISIONS = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}
INITIAL_LOSS_SCALE = 2.0**16  # of the loss in float16, at first


def make_engine(model: STDiT2, recipe: Recipe, device: torch.device) -> Engine:
    """The recipe's engine around a model, its blocks compiled if asked."""
    if recipe.kernels and recipe.strategy != "gemini":  # Gemini sees PyTorch's own operations only
        model.set_ops(select_ops(device, DTYPES[recipe.precision]))
    if recipe.compile:
        model.compile_blocks()
    if recipe.engine == "colossalai":
        return _make_colossalai_engine(model, recipe, device)
    if recipe.strategy == "fsdp2":
        return FullySharded(model, recipe, device)
    return DataParallel(model, recipe, device)


def _make_colossalai_engine(model: STDiT2, recipe: Recipe, device: torch.device) -> Engine:
    """The engine of the recipe's plugin; raises EngineError where ColossalAI is not installed."""
    kind = Gemini if recipe.strategy == "gemini" else Zero
    try:
        from colossalai.booster import Booster

        plugin = _plugin(recipe, device)
        booster = Booster(plugin=plugin)
        base_optimizer = _optimizer([p for _, p in trainable_parameters(model.to(device))], recipe)
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

    def boosted(module: torch.nn.Module, optimizer: Any) -> tuple[Any, Any]:
        wrapped, wrapper, *_ = booster.boost(module, optimizer)
        return wrapped, wrapper

    return kind(model, base_optimizer, boosted, recipe, device)


def _plugin(recipe: Recipe, device: torch.device) -> Any:
    """LowLevelZeroPlugin or GeminiPlugin, as the recipe asks."""
    from colossalai.booster.plugin import GeminiPlugin, LowLevelZeroPlugin

    precision, clip = COLOSSALAI_PRECISIONS[recipe.precision], recipe.optimizer.grad_clip
    if recipe.strategy == "gemini":
        return GeminiPlugin(
            precision=precision,
            initial_scale=INITIAL_LOSS_SCALE,
            max_norm=clip or float("inf"),  # without a limit it would not find the norm
            enable_gradient_accumulation=True,
            enable_async_reduce=False,  # it would pin a copy of all gradients in the host's memory
        )
    return LowLevelZeroPlugin(
        stage=1 if recipe.strategy == "zero1" else 2,
        precision=precision,
        initial_scale=INITIAL_LOSS_SCALE,
        max_norm=clip,
        # it waits for the GPU after every micro-batch: too dear where there is nothing to overlap
        overlap_communication=device.type == "cuda" and rank_and_world_size()[1] > 1,
    )


def _optimizer(params: list[torch.nn.Parameter], recipe: Recipe) -> Any:
    """AdamW, or ColossalAI's HybridAdam, which it compiles at first use."""
    settings = adam_kwargs(recipe.optimizer)
    if recipe.optimizer.kind == "adamw":
        return torch.optim.AdamW(params, **settings)
    from colossalai.nn.optimizer import HybridAdam

    try:
        return HybridAdam(params, **settings)
    except Exception as error:  # it raises Exception itself, whatever its compiler met with
        reason = (str(error).splitlines() or [repr(error)])[0]
        raise EngineError(
            "optimizer.kind 'hybrid_adam' is compiled where it runs, and could not be here "
            f"({reason}): it wants a GPU, and in CUDA_HOME the nvcc of torch's CUDA "
            f"({torch.version.cuda}); or choose optimizer.kind = 'adamw', and not 'gemini'"
        ) from error
