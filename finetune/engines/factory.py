"""Make the engine that a recipe names."""

from __future__ import annotations

import torch

from finetune.config import Recipe
from finetune.engines.base import Engine
from finetune.engines.colossalai import make_colossalai_engine
from finetune.engines.data_parallel import DataParallel
from finetune.engines.fsdp2 import FullySharded
from finetune.kernels import select_ops
from finetune.models.stdit2.network import STDiT2
from finetune.tensors import DTYPES


def make_engine(model: STDiT2, recipe: Recipe, device: torch.device) -> Engine:
    """Return the recipe's engine around a model, with compiled blocks if the recipe says so."""
    if recipe.kernels and recipe.strategy != "gemini":  # Gemini hooks PyTorch's own operations only
        model.set_ops(select_ops(device, DTYPES[recipe.precision]))
    if recipe.compile:
        model.compile_blocks()
    if recipe.engine == "colossalai":
        return make_colossalai_engine(model, recipe, device)
    if recipe.strategy == "fsdp2":
        return FullySharded(model, recipe, device)
    return DataParallel(model, recipe, device)
