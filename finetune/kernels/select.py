"""Choose a block's operations for a device: Triton kernels, or the plain PyTorch reference.

The golden tests check `finetune.kernels.reference`, which runs on any device.
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

MIN_COMPUTE_CAPABILITY = (8, 0)  # the first with bfloat16 and fused attention


def kernels_available(device: torch.device | str) -> bool:
    """Return True if Triton and a recent enough GPU (or Triton's interpreter) are available."""
    device = torch.device(device)
    if importlib.util.find_spec("triton") is None:
        return False
    if device.type != "cuda":
        return os.environ.get("TRITON_INTERPRET") == "1"
    return torch.cuda.get_device_capability(device) >= MIN_COMPUTE_CAPABILITY


def select_ops(device: torch.device | str, dtype: torch.dtype = torch.bfloat16) -> Ops:
    """Return the fastest operations for a device and precision.

    Without kernels: plain PyTorch, with one warning. float32 is used for exact comparisons, so it
    gets plain PyTorch without a warning.
    """
    from finetune.kernels.ops import Ops

    device = torch.device(device)
    if device.type == "cuda" and dtype == torch.float32:
        return Ops()
    if device.type != "cuda" or not kernels_available(device):
        warn_no_kernels(device.type)
        return Ops()
    return triton_ops()


def triton_ops() -> Ops:
    """Return the Triton kernels of this package as operations."""
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
def warn_no_kernels(device_type: str) -> None:
    """Log once that this kind of device runs plain PyTorch."""
    log.warning(
        "no Triton kernels on this %s: plain PyTorch, slower, the same results", device_type
    )
