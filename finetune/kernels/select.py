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

MIN_COMPUTE_CAPABILITY = (8, 0)  # compute capability: bfloat16 and the fused attentions begin there


def kernels_available(device: torch.device | str) -> bool:
    """Whether the kernels run there: Triton, and a GPU young enough (or Triton's interpreter)."""
    device = torch.device(device)
    if importlib.util.find_spec("triton") is None:
        return False
    if device.type != "cuda":
        return os.environ.get("TRITON_INTERPRET") == "1"
    return torch.cuda.get_device_capability(device) >= MIN_COMPUTE_CAPABILITY


def select_ops(device: torch.device | str, dtype: torch.dtype = torch.bfloat16) -> Ops:
    """The fastest operations there in this precision; plain PyTorch, said once, elsewhere.

    The kernels are for half precisions: float32 is for exactness, and stays plain in silence.
    """
    from finetune.kernels.ops import Ops

    device = torch.device(device)
    if device.type == "cuda" and dtype == torch.float32:
        return Ops()
    if device.type != "cuda" or not kernels_available(device):
        _warn_no_kernels(device.type)
        return Ops()
    return triton_ops()


def triton_ops() -> Ops:
    """All kernels of this package."""
    from finetune.kernels import norms, space, text, time
    from finetune.kernels.ops import Ops

    return Ops(
        norm_modulate=norms.norm_modulate,
        gated_add=norms.gated_add,
        gated_add_norm_modulate=norms.gated_add_norm_modulate,
        add_norm_modulate=norms.add_norm_modulate,
        spatial_attention=space.spatial_attention,
        temporal_attention=time.temporal_attention,
        lay_out_text=text.lay_out_text,
        text_attention=text.text_attention,
    )


@cache
def _warn_no_kernels(kind: str) -> None:
    log.warning("no Triton kernels on this %s: plain PyTorch, slower, the same answers", kind)
