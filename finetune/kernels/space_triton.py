"""Triton kernels of `space`: split q, k and v, and RMS-norm q and k.

qkv [N, S, 3, H, d] -> three of [N, S, H, d]; the rows of a program are (token, head) pairs.
Backward writes all of qkv's gradient, so nothing is padded and added afterwards.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from finetune.kernels.reference import EPS

ROWS = 32  # (token, head) pairs per program
NUM_WARPS = 2


@triton.jit
def _rms_norm(x, d: tl.constexpr, EPS: tl.constexpr):
    """Return x [R, BLOCK] float32 scaled to RMS 1, and the factors [R]."""
    inv_rms = tl.rsqrt(tl.sum(x * x, 1) / d + EPS)
    return x * inv_rms[:, None], inv_rms


@triton.jit
def _split_forward(
    qkv,
    q_weight,
    k_weight,
    q,
    k,
    v,
    pairs,
    H: tl.constexpr,
    d: tl.constexpr,
    EPS: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    pair = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    column = tl.arange(0, BLOCK)
    valid = (pair < pairs) & (column < d)[None, :]
    source = qkv + (pair // H) * (3 * H * d) + (pair % H) * d + column[None, :]
    target = pair * d + column[None, :]
    dtype = qkv.dtype.element_ty
    wq = tl.load(q_weight + column, mask=column < d, other=0).to(tl.float32)[None, :]
    wk = tl.load(k_weight + column, mask=column < d, other=0).to(tl.float32)[None, :]
    unit, _ = _rms_norm(tl.load(source, mask=valid, other=0).to(tl.float32), d, EPS)
    tl.store(q + target, (unit * wq).to(dtype), mask=valid)
    unit, _ = _rms_norm(tl.load(source + H * d, mask=valid, other=0).to(tl.float32), d, EPS)
    tl.store(k + target, (unit * wk).to(dtype), mask=valid)
    tl.store(v + target, tl.load(source + 2 * H * d, mask=valid, other=0), mask=valid)


@triton.jit
def _rms_norm_backward(d_out, x, weight, d: tl.constexpr, EPS: tl.constexpr):
    """Return gradients of x [R, BLOCK] and, summed over rows, of the weight [BLOCK]."""
    unit, inv_rms = _rms_norm(x, d, EPS)
    d_weight = tl.sum(d_out * unit, 0)
    d_unit = d_out * weight
    unit_dot = tl.sum(d_unit * unit, 1) / d
    return inv_rms[:, None] * (d_unit - unit * unit_dot[:, None]), d_weight


@triton.jit
def _split_backward(
    d_q,
    d_k,
    d_v,
    qkv,
    q_weight,
    k_weight,
    d_qkv,
    partial,
    pairs,
    H: tl.constexpr,
    d: tl.constexpr,
    EPS: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    program = tl.program_id(0).to(tl.int64)
    pair = program * ROWS + tl.arange(0, ROWS)[:, None]
    column = tl.arange(0, BLOCK)
    valid = (pair < pairs) & (column < d)[None, :]
    source = (pair // H) * (3 * H * d) + (pair % H) * d + column[None, :]
    target = pair * d + column[None, :]
    dtype = qkv.dtype.element_ty
    wq = tl.load(q_weight + column, mask=column < d, other=0).to(tl.float32)[None, :]
    wk = tl.load(k_weight + column, mask=column < d, other=0).to(tl.float32)[None, :]
    partial_row = partial + program * 2 * BLOCK + column
    x = tl.load(qkv + source, mask=valid, other=0).to(tl.float32)
    d_out = tl.load(d_q + target, mask=valid, other=0).to(tl.float32)
    gradient, d_weight = _rms_norm_backward(d_out, x, wq, d, EPS)
    tl.store(d_qkv + source, gradient.to(dtype), mask=valid)
    tl.store(partial_row, d_weight)
    x = tl.load(qkv + source + H * d, mask=valid, other=0).to(tl.float32)
    d_out = tl.load(d_k + target, mask=valid, other=0).to(tl.float32)
    gradient, d_weight = _rms_norm_backward(d_out, x, wk, d, EPS)
    tl.store(d_qkv + source + H * d, gradient.to(dtype), mask=valid)
    tl.store(partial_row + BLOCK, d_weight)
    tl.store(d_qkv + source + 2 * H * d, tl.load(d_v + target, mask=valid, other=0), mask=valid)


def forward(qkv: Tensor, q_weight: Tensor, k_weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return normed q, normed k, and v."""
    qkv = qkv.contiguous()
    *lead, _, heads, dim = qkv.shape
    q, k, v = (qkv.new_empty(*lead, heads, dim) for _ in range(3))
    pairs = q.numel() // dim
    _split_forward[(triton.cdiv(pairs, ROWS),)](
        qkv,
        q_weight.contiguous(),
        k_weight.contiguous(),
        q,
        k,
        v,
        pairs,
        **_launch_options(heads, dim),
    )
    return q, k, v


def backward(
    d_q: Tensor, d_k: Tensor, d_v: Tensor, qkv: Tensor, q_weight: Tensor, k_weight: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return gradients of qkv, of q_weight and of k_weight."""
    qkv = qkv.contiguous()
    heads, dim = qkv.shape[-2:]
    d_qkv = torch.empty_like(qkv)
    pairs = d_q.numel() // dim
    programs = triton.cdiv(pairs, ROWS)
    options = _launch_options(heads, dim)
    partial = qkv.new_empty((programs, 2, options["BLOCK"]), dtype=torch.float32)
    _split_backward[(programs,)](
        *(grad.contiguous() for grad in (d_q, d_k, d_v)),
        qkv,
        q_weight.contiguous(),
        k_weight.contiguous(),
        d_qkv,
        partial,
        pairs,
        **options,
    )
    of_q, of_k = partial.sum(0)[:, :dim].to(q_weight.dtype)
    return d_qkv, of_q.clone(), of_k.clone()


def _launch_options(heads: int, dim: int) -> dict[str, Any]:
    return {
        "H": heads,
        "d": dim,
        "EPS": EPS,
        "ROWS": ROWS,
        "BLOCK": triton.next_power_of_2(dim),
        "num_warps": NUM_WARPS,
    }
