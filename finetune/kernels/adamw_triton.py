"""The Triton of `adamw`: every number of the state read once and written once."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from finetune.kernels.adamw import BLOCK, AdamWParams, FlatState


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
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < n
    g = tl.load(grad + at, mask=inside, other=0) * tl.load(grad_scale)
    m = tl.load(exp_avg + at, mask=inside, other=0)
    m += (g - m) * (1 - b1)
    v = tl.load(exp_avg_sq + at, mask=inside, other=0)
    v = v * b2 + g * g * (1 - b2)
    w = tl.load(master + at, mask=inside, other=0) * decay
    w -= step_size * m / (tl.sqrt(v) / bias_correction2_sqrt + eps)
    e = tl.load(ema + at, mask=inside, other=0)
    e += (w - e) * ema_share
    tl.store(exp_avg + at, m, mask=inside)
    tl.store(exp_avg_sq + at, v, mask=inside)
    tl.store(master + at, w, mask=inside)
    tl.store(ema + at, e, mask=inside)
    tl.store(weights + at, w.to(weights.dtype.element_ty), mask=inside)


def launch_adamw(state: FlatState, params: AdamWParams, grad_scale: Tensor) -> None:
    """See `adamw.step`."""
    n = state.master.numel()
    _adamw[(triton.cdiv(n, BLOCK),)](
        state.weights,
        state.master,
        state.grad,
        state.exp_avg,
        state.exp_avg_sq,
        state.ema,
        grad_scale,
        n,
        params.step_size,
        params.bias_correction2_sqrt,
        1 - params.lr * params.weight_decay,
        params.eps,
        *params.betas,
        1 - params.ema_decay,
        BLOCK=BLOCK,
        num_warps=8,
    )
