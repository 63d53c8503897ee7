"""Wan 2.2 T2V A14B (Apache-2.0): two experts, each for its part of the noise.

One run takes turns between them (`wan2.2-a14b`), or trains one of them (`-high`, `-low`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from finetune.config import Recipe
from finetune.errors import ConfigError
from finetune.models.diffusers.base import TIME_SCALE
from finetune.models.diffusers.networks import plain_config
from finetune.models.diffusers.wan import Wan, WanVersion
from finetune.models.diffusers.wan_cost import WanCost
from finetune.models.family import TINY_RANDOM
from finetune.models.hub import is_hub_id

BOUNDARY = 0.875  # more noise is the first expert's
SHIFT = 12.0  # the makers'; the converted scheduler says 3
TURN = 10  # steps of an expert before the other's, as ai-toolkit has it
HIGH, LOW = (BOUNDARY, 1.0), (0.0, BOUNDARY)


class Experts(nn.Module):
    """Both experts as one network, which its times choose from; a transformer to pipelines."""

    def __init__(self, high: nn.Module, low: nn.Module) -> None:
        super().__init__()
        self.transformer, self.transformer_2 = high, low
        self._keep_in_fp32_modules = getattr(high, "_keep_in_fp32_modules", None)

    @property
    def config(self) -> Any:
        """Return the configuration, which both share."""
        return self.transformer.config

    @property
    def dtype(self) -> Any:
        """Return the precision in which a pipeline gives latents and text."""
        return self.transformer.dtype

    @property
    def device(self) -> torch.device:
        """Return the device of the weights."""
        return next(self.parameters()).device

    def cache_context(self, *_: object, **__: object) -> AbstractContextManager[None]:
        """Return nothing to enter: no layer is cached between steps."""
        return nullcontext()

    def set_attention_backend(self, name: str) -> None:
        """Choose the attention of both."""
        for expert in self.children():
            chosen: Any = expert
            chosen.set_attention_backend(name)

    def forward(self, *, timestep: Tensor, **inputs: Any) -> Any:
        """Call the expert of these times; raise ValueError if they are of both."""
        is_high = (timestep >= BOUNDARY * TIME_SCALE).flatten()
        if bool(is_high.any()) != bool(is_high.all()):
            raise ValueError("times of both experts in one call")
        expert = self.transformer if bool(is_high[0]) else self.transformer_2
        return expert(timestep=timestep, **inputs)


@dataclass(frozen=True, kw_only=True)
class ExpertsCost(WanCost):
    """The cost of a run that has both experts in memory, and computes with one of them."""

    def parameters(self, recipe: Recipe) -> int:
        return 2 * super().parameters(recipe)

    def block_weights(self, recipe: Recipe) -> int:
        return 2 * super().block_weights(recipe)

    def adapter_parameters(self, recipe: Recipe, targets: Sequence[str]) -> int:
        return 2 * super().adapter_parameters(recipe, targets)


class WanExperts(Wan):
    """Adapters of both experts, trained in turns of ten steps."""

    adapter_folders = MappingProxyType({"transformer.": "high", "transformer_2.": "low"})

    def __init__(self, version: WanVersion, experts: tuple[Wan, Wan]) -> None:
        super().__init__(version)
        self.experts = experts
        self.cost = ExpertsCost(side=2 * version.spatial_stride, channels=version.channels)

    def check(self, recipe: Recipe) -> None:
        super().check(recipe)
        if recipe.adapter is None:
            raise ConfigError(
                f"family {self.name!r} trains adapters: set adapter.rank, or train one expert by "
                f"family {self.experts[0].name!r} or {self.experts[1].name!r}"
            )

    def reads_pipeline(self, index: Mapping[str, Any]) -> bool:
        return self.experts[0].reads_pipeline(index)

    def load_network(
        self,
        source: Path | str,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> nn.Module:
        high, low = (e.load_network(source, dtype=dtype, device=device) for e in self.experts)
        return Experts(high, low)

    def check_init(self, init: str) -> None:
        if init != TINY_RANDOM and not is_hub_id(init):
            self._check_index(init)
        for expert in self.experts:
            expert.check_init(init)

    def network_config(self, network: nn.Module) -> dict[str, Any]:
        return plain_config(network.get_submodule("transformer"))

    def blocks(self, network: nn.Module) -> Sequence[nn.Module]:
        parts = zip(self.experts, network.children(), strict=True)
        return [block for family, part in parts for block in family.blocks(part)]

    def recompute(self, network: nn.Module, count: int) -> None:
        for family, part in zip(self.experts, network.children(), strict=True):
            family.recompute(part, count)

    def time_range(self, step: int) -> tuple[float, float]:
        return (HIGH, LOW)[step // TURN % 2]


def _version(name: str, **settings: Any) -> WanVersion:
    return WanVersion(name=name, shift_small=SHIFT, shift_large=SHIFT, **settings)


WAN_2_2_HIGH = Wan(_version("wan2.2-a14b-high", times=HIGH))
WAN_2_2_LOW = Wan(_version("wan2.2-a14b-low", times=LOW, part="transformer_2"))
WAN_2_2_A14B = WanExperts(_version("wan2.2-a14b"), (WAN_2_2_HIGH, WAN_2_2_LOW))
