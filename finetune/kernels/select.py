"""The inner operations of a block: a plain reference, and fast drop-ins of the same shapes.

`reference` is what the golden tests check and what any device runs; `ops_for(device)` gives the
fastest that a machine has.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from functools import cache
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from finetune.kernels.ops import Ops

log = logging.getLogger(__name__)

OLDEST = (8, 0)  # compute capability: bfloat16 and the fused attentions begin there


def available(device: torch.device | str) -> bool:
    """Whether the kernels run there: Triton, and a GPU young enough (or Triton's interpreter)."""
    device = torch.device(device)
    if importlib.util.find_spec("triton") is None:
        return False
    if device.type != "cuda":
        return os.environ.get("TRITON_INTERPRET") == "1"
    return torch.cuda.get_device_capability(device) >= OLDEST


def ops_for(device: torch.device | str, dtype: torch.dtype = torch.bfloat16) -> Ops:
    """The fastest operations there in this precision; plain PyTorch, said once, elsewhere.

    The kernels are for half precisions: float32 is for exactness, and stays plain in silence.
    """
    from finetune.kernels.ops import Ops

    device = torch.device(device)
    if device.type == "cuda" and dtype == torch.float32:
        return Ops()
    if device.type != "cuda" or not available(device):
        _say_plain(device.type)
        return Ops()
    return fast_ops()


def fast_ops() -> Ops:
    """All kernels of this package."""
    from finetune.kernels import norms, space, text, time
    from finetune.kernels.ops import Ops

    return Ops(
        norm_modulate=norms.norm_modulate,
        gated_add=norms.gated_add,
        gated_add_norm_modulate=norms.gated_add_norm_modulate,
        add_norm_modulate=norms.add_norm_modulate,
        space_attention=space.space_attention,
        time_attention=time.time_attention,
        lay_out_text=text.lay_out_text,
        text_attention=text.text_attention,
    )


@cache
def _say_plain(kind: str) -> None:
    log.warning("no Triton kernels on this %s: plain PyTorch, slower, the same answers", kind)
