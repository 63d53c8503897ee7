"""The operations of a block, plain or fused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

from finetune.kernels import reference


class Ops(NamedTuple):
    """The operations of a block; shapes as in `finetune.kernels.reference`."""

    norm_modulate: Callable[..., Tensor] = reference.norm_modulate
    gated_add: Callable[..., Tensor] = reference.gated_add
    gated_add_norm_modulate: Callable[..., tuple[Tensor, Tensor]] = (
        reference.gated_add_norm_modulate
    )
    add_norm_modulate: Callable[..., tuple[Tensor, Tensor]] = reference.add_norm_modulate
    spatial_attention: Callable[..., Tensor] = reference.spatial_attention
    temporal_attention: Callable[..., Tensor] = reference.temporal_attention
    lay_out_text: Callable[[Tensor], Any] = reference.lay_out_text
    text_attention: Callable[..., Tensor] = reference.text_attention
