"""Make the engine that a recipe names."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from finetune.config import Recipe
from finetune.engines.base import Engine
from finetune.engines.colossalai import make_colossalai_engine
from finetune.engines.data_parallel import DataParallel
from finetune.engines.fsdp2 import FullySharded


def make_engine(
    model: nn.Module, blocks: Sequence[nn.Module], recipe: Recipe, device: torch.device
) -> Engine:
    """Return the recipe's engine around a model; FSDP2 shards its blocks one by one."""
    if recipe.engine == "colossalai":
        return make_colossalai_engine(model, recipe, device)
    if recipe.is_sharded:
        return FullySharded(model, blocks, recipe, device)
    return DataParallel(model, recipe, device)
