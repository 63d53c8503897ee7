"""The Triton of `adamw`: every number of the state read once and written once."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from finetune.kernels.adamw import BLOCK, Flat, Rates


@triton.jit
def _adamw(
    weights,
    master,
    grad,
    first,
    second,
    ema,
    grad_scale,
    n,
    step_size,
    second_scale,
    decay,
    eps,
    b1,
    b2,
    ema_share,
    BLOCK: tl.constexpr,
):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < n
    g = tl.load(grad + at, mask=inside, other=0) * tl.load(grad_scale)
    m = tl.load(first + at, mask=inside, other=0)
    m += (g - m) * (1 - b1)
    v = tl.load(second + at, mask=inside, other=0)
    v = v * b2 + g * g * (1 - b2)
    w = tl.load(master + at, mask=inside, other=0) * decay
    w -= step_size * m / (tl.sqrt(v) / second_scale + eps)
    e = tl.load(ema + at, mask=inside, other=0)
    e += (w - e) * ema_share
    tl.store(first + at, m, mask=inside)
    tl.store(second + at, v, mask=inside)
    tl.store(master + at, w, mask=inside)
    tl.store(ema + at, e, mask=inside)
    tl.store(weights + at, w.to(weights.dtype.element_ty), mask=inside)


def launch(state: Flat, rates: Rates, grad_scale: Tensor) -> None:
    """See `adamw.step`."""
    n = state.master.numel()
    _adamw[(triton.cdiv(n, BLOCK),)](
        state.weights,
        state.master,
        state.grad,
        state.first,
        state.second,
        state.ema,
        grad_scale,
        n,
        rates.step_size,
        rates.second_scale,
        1 - rates.lr * rates.weight_decay,
        rates.eps,
        *rates.betas,
        1 - rates.ema_decay,
        BLOCK=BLOCK,
        num_warps=8,
    )
