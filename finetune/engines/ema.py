"""An exponential average of the weights, on shards: it costs a rank what its own part costs."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class EMA:
    """`decay` of the old and `1 - decay` of the new, a step (Polyak averaging); 0 keeps none."""

    def __init__(self, shards: Mapping[str, Tensor], decay: float) -> None:
        self.decay = decay
        self.shards = {n: t.detach().clone() for n, t in shards.items()} if decay else {}

    @torch.no_grad()
    def update(self, shards: Mapping[str, Tensor]) -> None:
        """Take one step towards these float32 weights."""
        if self.shards:
            mine = list(self.shards.values())
            torch._foreach_lerp_(mine, [shards[name] for name in self.shards], 1 - self.decay)
