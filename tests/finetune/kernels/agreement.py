"""How far a fast path may be from the truth: 1.1 times what the plain path is itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from finetune.kernels import kernels_available

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
INTERPRETED = DEVICE == "cpu" and kernels_available(DEVICE)
# Triton's interpreter cuts bfloat16 where a GPU rounds it: there, the other half precision
HALF = torch.bfloat16 if DEVICE == "cuda" else torch.float16
SLACK = 1.1
FLOOR = 1e-5  # relative, of float32
FEW = 1000  # numbers: the errors of fewer vary by more than the slack, from chance alone

Operation = Callable[..., Tensor | tuple[Tensor, ...]]


def need_kernels() -> None:
    """Skip the test where no kernel can run."""
    if not kernels_available(DEVICE):
        pytest.skip("needs a GPU, or Triton and TRITON_INTERPRET=1 (`make test-slow`)")


def answers(operation: Operation, inputs: Sequence[Tensor], dtype: torch.dtype) -> list[Tensor]:
    """The operation's outputs, then the gradients of all inputs under one fixed random loss."""
    leaves = [tensor.detach().to(DEVICE, dtype).requires_grad_() for tensor in inputs]
    outputs = operation(*leaves)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    generator = torch.Generator().manual_seed(7)
    loss = torch.zeros((), device=DEVICE)
    for output in outputs:
        weight = torch.randn(output.shape, generator=generator).to(DEVICE)
        loss = loss + (output.float() * weight).sum()
    gradients = torch.autograd.grad(loss, leaves)
    return [tensor.detach().float() for tensor in (*outputs, *gradients)]


def distance(got: Tensor, truth: Tensor) -> float:
    """Relative, over the whole tensor; a truth of zeros wants zeros."""
    return float((got - truth).norm() / truth.norm().clamp(min=1e-20))


def agree(
    fast: Operation,
    plain: Operation,
    inputs: Sequence[Tensor],
    *,
    exact: bool = True,
    slack: float = SLACK,
) -> None:
    """fast is plain to float32's precision (if exact), and no worse in half precision."""
    truth = answers(plain, inputs, torch.float32)
    if exact:
        for got, wanted in zip(answers(fast, inputs, torch.float32), truth, strict=True):
            assert distance(got, wanted) < FLOOR
    halves = zip(answers(fast, inputs, HALF), answers(plain, inputs, HALF), truth, strict=True)
    for got, usual, wanted in halves:
        assert got.isfinite().all()
        allowed = slack if wanted.numel() > FEW else 2 * slack
        far, usually = distance(got, wanted), distance(usual, wanted)
        assert far <= allowed * usually + FLOOR, f"{far:.3g}, {far / usually:.2f}x the plain path's"


def whole(some: dict[str, Tensor], truth: dict[str, Tensor]) -> float:
    """Return the distance of all gradients as one vector."""
    names = sorted(truth)
    return distance(*(torch.cat([d[name].flatten() for name in names]) for d in (some, truth)))
