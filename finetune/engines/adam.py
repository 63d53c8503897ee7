"""AdamW as every engine uses it: settings, state, a step, and gradient clipping."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from finetune.config import Optimizer
from finetune.engines.adamw_8bit import make_adamw_8bit, step_8bit

ADAMW_8BIT = "adamw_8bit"


def make_adamw(
    params: list[Tensor], settings: Optimizer, device: torch.device
) -> torch.optim.Optimizer:
    """Return the settings' AdamW over these tensors, with its state before the first step."""
    if settings.kind == ADAMW_8BIT:
        return make_adamw_8bit(params, adam_kwargs(settings))
    fused = device.type == "cuda"
    optimizer = torch.optim.AdamW(params, **adam_kwargs(settings), fused=fused)
    for parameter in params:
        optimizer.state[parameter] = initial_adam_state(parameter, optimizer)
    return optimizer


def adam_kwargs(settings: Optimizer) -> dict[str, Any]:
    """Return the arguments of every Adam here; the learning rate is set at each step."""
    return {
        "lr": 0.0,
        "betas": settings.betas,
        "eps": settings.eps,
        "weight_decay": settings.weight_decay,
    }


def initial_adam_state(parameter: Tensor, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return Adam's state before the first step; only torch's Adam counts steps in a tensor."""
    steps = torch.zeros((), dtype=torch.float32, device=parameter.device)
    return {
        "step": steps if isinstance(optimizer, torch.optim.AdamW) else 0,
        "exp_avg": torch.zeros_like(parameter),
        "exp_avg_sq": torch.zeros_like(parameter),
    }


def set_adam_step(optimizer: torch.optim.Optimizer, updates: int) -> None:
    """Set the number of steps that Adam has taken."""
    for state in optimizer.state.values():
        steps = state["step"]
        state["step"] = torch.full_like(steps, updates) if torch.is_tensor(steps) else updates


def optimizer_step(
    optimizer: torch.optim.Optimizer, params: list[Tensor], grads: list[Tensor] | None, lr: float
) -> None:
    """Take a step at this learning rate; `grads` are the parameters' gradients during the call."""
    for parameter, grad in zip(params, grads or (), strict=bool(grads)):
        parameter.grad = grad
    if torch.is_tensor(optimizer.param_groups[0]["lr"]):
        optimizer.param_groups[0]["lr"].fill_(lr)
        step_8bit(optimizer, params[0].device)
    else:
        optimizer.param_groups[0]["lr"] = lr
        optimizer.step()
    for parameter, _ in zip(params, grads or (), strict=bool(grads)):
        parameter.grad = None


def clip_factor(norm: float, max_norm: float) -> float:
    """Return the factor that clips gradients of this norm to `max_norm`; 0: no clipping."""
    return min(1.0, max_norm / (norm + 1e-6)) if max_norm > 0 else 1.0
