"""Small tensors on their way to the GPU."""

from __future__ import annotations

import torch
from torch import Tensor


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """A CPU tensor on the device, without waiting for the work that is queued there.

    A plain copy of pageable memory waits for all of it, and the GPU then waits for what follows.
    """
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
