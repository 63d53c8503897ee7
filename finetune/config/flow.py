"""Settings of flow matching."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal


@dataclass(frozen=True, kw_only=True)
class Flow:
    """Times and weights of the flow matching loss; families of another objective ignore them."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid", "strict": True}
    time_sampling: Literal["logit_normal", "uniform", "mode"] = "logit_normal"
    logit_mean: float = 0.0
    logit_std: float = 1.0
    mode_scale: float = 1.29
    uniform_share: float = 0.1  # share of times that are uniform and not shifted
    shift: float = 0.0  # 0: the family's
    weighting: Literal["none", "cosmap", "bell"] = "none"
