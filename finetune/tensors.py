"""Data types by their names in recipes, and copies of tensors to a device."""

from __future__ import annotations

import torch
from torch import Tensor

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def to_device_async(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a CPU tensor to `device` without waiting for work that is queued there.

    A copy from pageable memory would synchronize with the GPU, which then idles.
    """
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def copy_float32(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor of any precision to `device`, and widen it to float32 there."""
    return tensor.to(device, non_blocking=True).float()
