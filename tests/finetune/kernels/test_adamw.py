"""The fused optimiser step against torch's own AdamW."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from finetune.kernels import adamw
from finetune.kernels.adamw import AdamWParams, FlatState
from tests.finetune.kernels.agreement import DEVICE, need_kernels

DECAY = 0.1


def state(dtype: torch.dtype = torch.float32) -> FlatState:
    generator = torch.Generator().manual_seed(0)
    master = torch.randn(5000, generator=generator).to(DEVICE)
    zeros = (torch.zeros(5000, device=DEVICE) for _ in range(3))
    return FlatState(master.to(dtype), master, *zeros, master.clone())


def gradients() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(5000, generator=generator).to(DEVICE) for _ in range(5)]


def run(step: object, flat: FlatState) -> FlatState:
    half = torch.tensor(0.5, device=DEVICE)
    for n, gradient in enumerate(gradients(), start=1):
        flat.grad.copy_(gradient)
        step(flat, AdamWParams(lr=1e-2, step=n, weight_decay=DECAY, ema_decay=0.9), half)
    return flat


def test_the_reference_is_torchs_adamw() -> None:
    flat, weight = state(), torch.nn.Parameter(state().master)
    optimizer = torch.optim.AdamW([weight], lr=1e-2, weight_decay=DECAY)
    ema = weight.detach().clone()
    for gradient in gradients():
        weight.grad = gradient * 0.5
        optimizer.step()
        ema.lerp_(weight.detach(), 0.1)
    run(adamw.adamw_step_reference, flat)
    torch.testing.assert_close(flat.master, weight.detach())
    torch.testing.assert_close(flat.ema, ema)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_the_fused_step_is_the_reference(dtype: torch.dtype) -> None:
    need_kernels()
    plain, fused = (
        run(adamw.adamw_step_reference, state(dtype)),
        run(adamw.adamw_step, state(dtype)),
    )
    for name in ("master", "exp_avg", "exp_avg_sq", "ema", "weights"):
        torch.testing.assert_close(getattr(fused, name), getattr(plain, name), msg=name)
    assert fused.weights.dtype == dtype
