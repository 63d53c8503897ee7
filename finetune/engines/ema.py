"""An exponential moving average of the weights, on shards: each rank averages its own part."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from finetune.config import Optimizer

WARMUP_OFFSET = 10
"""The decay of update n is at most (1 + n) / (10 + n), as TensorFlow and diffusers have it."""


class EMA:
    """EMA weights: `decay_at` of the old and the rest of the new per update; decay 0 keeps none."""

    def __init__(self, shards: Mapping[str, Tensor], settings: Optimizer) -> None:
        self.settings = settings
        self.shards = {n: t.detach().clone() for n, t in shards.items()} if settings.ema else {}

    @torch.no_grad()
    def update(self, shards: Mapping[str, Tensor], updates: int) -> None:
        """Take one step towards these float32 weights of the `updates`-th update (from 1).

        Weights that are not given keep their average, as those of a resting expert.
        """
        if self.shards and shards:
            ema = [self.shards[name] for name in shards]
            share = 1 - decay_at(self.settings, updates)
            torch._foreach_lerp_(ema, list(shards.values()), share)


def decay_at(settings: Optimizer, updates: int) -> float:
    """Return the share of the old EMA that the `updates`-th update (from 1) keeps."""
    n = updates - 1
    if not settings.ema_warmup:
        return settings.ema
    return min(settings.ema, (1 + n) / (WARMUP_OFFSET + n))


def start_share(settings: Optimizer, updates: int) -> float:
    """Return the share of the weights before training in the EMA after this many updates.

    It is the product of all decays; those of a warm-up have a closed form, by factorials.
    """
    warm = 0
    if settings.ema_warmup:
        first_full = (WARMUP_OFFSET * settings.ema - 1) / (1 - settings.ema)
        warm = min(updates, max(0, math.ceil(first_full)))
    log_warm = (
        math.lgamma(warm + 1) + math.lgamma(WARMUP_OFFSET) - math.lgamma(warm + WARMUP_OFFSET)
    )
    return math.exp(log_warm) * settings.ema ** (updates - warm)
