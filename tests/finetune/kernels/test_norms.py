"""Fused gate, residual, norm and modulation against the plain ones."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("triton", reason="no Triton on this machine: the kernels are not tested")

from finetune.kernels import norms, reference
from tests.finetune.kernels.agreement import agree

pytestmark = pytest.mark.usefixtures("kernels")

SHAPES = [(2, 3, 7, 48), (1, 2, 5, 96), (3, 1, 4, 48)]  # B, T, S, D; nothing a power of two


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("name", "branch", "tables"),
    [
        ("norm_modulate", False, 2),
        ("gated_add", True, 1),
        ("add_norm_modulate", True, 2),
        ("gated_add_norm_modulate", True, 3),
    ],
)
def test_fused_is_plain(
    name: str, branch: bool, tables: int, shape: tuple[int, int, int, int]
) -> None:
    generator = torch.Generator().manual_seed(0)
    x = [torch.randn(shape, generator=generator) for _ in range(1 + branch)]
    frames = (*shape[:2], shape[3])
    rows = [0.5 * torch.randn(frames, generator=generator) for _ in range(tables)]
    agree(getattr(norms, name), getattr(reference, name), [*x, *rows])


def test_tables_may_be_slices_of_a_wider_one() -> None:
    generator = torch.Generator().manual_seed(1)
    x, wide = torch.randn(2, 3, 5, 48, generator=generator), torch.randn(2, 3, 6 * 48)

    def by(operation: object) -> object:
        return lambda x, wide: operation(x, *wide.chunk(6, dim=-1)[2:4])

    agree(by(norms.norm_modulate), by(reference.norm_modulate), [x, wide])
