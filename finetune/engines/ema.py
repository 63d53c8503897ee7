"""An exponential moving average of the weights, on shards: each rank averages its own part."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class EMA:
    """EMA weights: `decay` of the old and `1 - decay` of the new per step; decay 0 keeps none."""

    def __init__(self, shards: Mapping[str, Tensor], decay: float) -> None:
        self.decay = decay
        self.shards = {n: t.detach().clone() for n, t in shards.items()} if decay else {}

    @torch.no_grad()
    def update(self, shards: Mapping[str, Tensor]) -> None:
        """Take one step towards these float32 weights."""
        if self.shards:
            ema = list(self.shards.values())
            torch._foreach_lerp_(ema, [shards[name] for name in self.shards], 1 - self.decay)
