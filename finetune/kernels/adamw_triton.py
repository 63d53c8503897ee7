"""Triton kernel of `adamw`: reads and writes each number of the state once."""

from __future__ import annotations

from collections.abc import Sequence

import triton
import triton.language as tl
from torch import Tensor

BLOCK = 2048


@triton.jit
def _adamw(
    weights,
    master,
    grad,
    exp_avg,
    exp_avg_sq,
    ema,
    grad_scale,
    n,
    step_size,
    bias_correction2_sqrt,
    decay,
    eps,
    b1,
    b2,
    ema_share,
    BLOCK: tl.constexpr,
):
    offset = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = offset < n
    g = tl.load(grad + offset, mask=inside, other=0) * tl.load(grad_scale)
    m = tl.load(exp_avg + offset, mask=inside, other=0)
    m += (g - m) * (1 - b1)
    v = tl.load(exp_avg_sq + offset, mask=inside, other=0)
    v = v * b2 + g * g * (1 - b2)
    w = tl.load(master + offset, mask=inside, other=0) * decay
    w -= step_size * m / (tl.sqrt(v) / bias_correction2_sqrt + eps)
    e = tl.load(ema + offset, mask=inside, other=0)
    e += (w - e) * ema_share
    tl.store(exp_avg + offset, m, mask=inside)
    tl.store(exp_avg_sq + offset, v, mask=inside)
    tl.store(master + offset, w, mask=inside)
    tl.store(ema + offset, e, mask=inside)
    tl.store(weights + offset, w.to(weights.dtype.element_ty), mask=inside)


def launch_adamw(state: Sequence[Tensor], grad_scale: Tensor, *scalars: float) -> None:
    """Launch over the tensors of a `FlatState` [n], with `_adamw`'s scalars from step_size on."""
    n = state[0].numel()
    _adamw[(triton.cdiv(n, BLOCK),)](*state, grad_scale, n, *scalars, BLOCK=BLOCK, num_warps=8)
