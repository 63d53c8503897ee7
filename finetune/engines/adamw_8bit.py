"""AdamW with moments of 8 bits (Dettmers et al., 2022) by torchao, in PyTorch's own operations.

A moment of 4,096 numbers or more, in whole blocks of 256, is kept as a code for each number and a
scale for each block; smaller ones stay in float32. Checkpoints hold all moments in float32, so
they resume with other optimizers and engines.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor


def make_adamw_8bit(params: list[Tensor], arguments: dict[str, Any]) -> torch.optim.Optimizer:
    """Return torchao's AdamW8bit over these tensors, with its state before the first step."""
    from torchao.optim import AdamW8bit

    optimizer: torch.optim.Optimizer = AdamW8bit(params, **arguments)
    for parameter in params:
        optimizer.state[parameter] = {
            "step": torch.zeros(()),
            "exp_avg": _new_moment(optimizer, parameter, signed=True),
            "exp_avg_sq": _new_moment(optimizer, parameter, signed=False),
        }
    return optimizer


def _new_moment(optimizer: Any, parameter: Tensor, *, signed: bool) -> Tensor:
    """Return a zero moment whose codes survive a round trip through float32.

    torchao's codes reach 1 but only -0.993, so a block whose largest number is negative would get
    another scale when a checkpoint is read. A code for -1 makes the round trip exact.
    """
    moment: Tensor = optimizer._new_buffer(parameter, signed)
    if signed and hasattr(local := local_tensor(moment), "qmap"):
        local.qmap[0] = -1.0
    return moment


def step_8bit(optimizer: torch.optim.Optimizer, device: torch.device) -> None:
    """Take a step; torchao compiles it, which on a CPU takes longer than most trainings there."""
    with torch.compiler.set_stance("force_eager" if device.type == "cpu" else "default"):
        optimizer.step()


def dequantized(tensor: Tensor) -> Tensor:
    """Return a moment in float32; other tensors are returned as they are."""
    local = local_tensor(tensor)
    if not hasattr(local, "qmap"):
        return tensor
    full: Tensor = local.dequantize()
    if not isinstance(tensor, DTensor):
        return full
    return DTensor.from_local(
        full,
        tensor.device_mesh,
        tensor.placements,
        run_check=False,
        shape=tensor.shape,
        stride=tensor.stride(),
    )


def local_tensor(tensor: Tensor) -> Tensor:
    """Return this rank's part of a DTensor; other tensors are returned as they are."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
