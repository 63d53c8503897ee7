"""Data types by their names in recipes, and copies of tensors to a device."""

from __future__ import annotations

import torch
from torch import Tensor, nn

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


def cast_module(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Cast a network's numbers to a dtype, in place.

    Frozen parts that its class names in `_keep_in_fp32_modules`, as diffusers and transformers do,
    become float32: times and norms, which bfloat16 would change by 0.4 %.
    """
    kept = set(getattr(module, "_keep_in_fp32_modules", None) or ())
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if tensor.is_floating_point():
            is_kept = not tensor.requires_grad and kept.intersection(name.split("."))
            tensor.data = tensor.data.to(torch.float32 if is_kept else dtype)
    return module
