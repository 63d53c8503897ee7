"""Gradients of unlike shapes added to one flat sum."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from finetune.kernels.accumulate import GradientAccumulator
from tests.finetune.kernels.agreement import DEVICE, need_kernels

SHAPES = {"aligned": [(5000,), (8, 3), (64, 100)], "odd": [(5,), (4097,), (3, 7)]}


def gradients(shapes: list[tuple[int, ...]], dtype: torch.dtype) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(s, generator=generator).to(DEVICE, dtype) for s in shapes]


@pytest.mark.parametrize("launched", [True, False])
@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_sums_are_of_float32(
    shapes: list[tuple[int, ...]],
    dtype: torch.dtype,
    launched: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if launched:
        need_kernels()
    monkeypatch.setattr("finetune.kernels.accumulate.kernels_available", lambda _: launched)
    fresh = gradients(shapes, dtype)
    total = GradientAccumulator(
        torch.ones(sum(g.numel() for g in fresh), device=DEVICE), [g.numel() for g in fresh]
    )
    total.add(fresh)
    total.add([fresh[0], None, fresh[2].t().contiguous().t()])
    flat = [g.float().flatten() for g in fresh]
    want = 1 + torch.cat([2 * flat[0], flat[1], 2 * flat[2]])
    torch.testing.assert_close(total.flat, want, rtol=1e-6, atol=1e-6)


def test_no_gradient_at_all_adds_nothing() -> None:
    total = GradientAccumulator(torch.ones(3, device=DEVICE), [1, 2])
    total.add([None, None])
    assert total.flat.tolist() == [1, 1, 1]
