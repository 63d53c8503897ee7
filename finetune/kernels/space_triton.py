"""q, k, v apart, q and k RMS-normed: the Triton of `space`.

qkv [N, S, 3, H, d] -> three of [N, S, H, d]; the rows of a program are (token, head) pairs.
The backward writes the gradient of qkv whole, so that nothing is padded and added afterwards.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from finetune.kernels.reference import EPS

ROWS = 32  # (token, head) pairs a program
NUM_WARPS = 2


@triton.jit
def _rms_norm(x, d: tl.constexpr, EPS: tl.constexpr):
    """x [R, BLOCK] float32 at RMS one, and the factor that did it [R]."""
    sharpness = tl.rsqrt(tl.sum(x * x, 1) / d + EPS)
    return x * sharpness[:, None], sharpness


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
    there = (pair < pairs) & (column < d)[None, :]
    at = qkv + (pair // H) * (3 * H * d) + (pair % H) * d + column[None, :]
    to = pair * d + column[None, :]
    kind = qkv.dtype.element_ty
    wq = tl.load(q_weight + column, mask=column < d, other=0).to(tl.float32)[None, :]
    wk = tl.load(k_weight + column, mask=column < d, other=0).to(tl.float32)[None, :]
    normal, _ = _rms_norm(tl.load(at, mask=there, other=0).to(tl.float32), d, EPS)
    tl.store(q + to, (normal * wq).to(kind), mask=there)
    normal, _ = _rms_norm(tl.load(at + H * d, mask=there, other=0).to(tl.float32), d, EPS)
    tl.store(k + to, (normal * wk).to(kind), mask=there)
    tl.store(v + to, tl.load(at + 2 * H * d, mask=there, other=0), mask=there)


@triton.jit
def _rms_norm_backward(got, x, weight, d: tl.constexpr, EPS: tl.constexpr):
    """Gradients of x [R, BLOCK] and, summed over rows, of the weight [BLOCK]."""
    normal, sharpness = _rms_norm(x, d, EPS)
    of_weight = tl.sum(got * normal, 0)
    weighted = got * weight
    along = tl.sum(weighted * normal, 1) / d
    return sharpness[:, None] * (weighted - normal * along[:, None]), of_weight


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
    there = (pair < pairs) & (column < d)[None, :]
    at = (pair // H) * (3 * H * d) + (pair % H) * d + column[None, :]
    to = pair * d + column[None, :]
    kind = qkv.dtype.element_ty
    wq = tl.load(q_weight + column, mask=column < d, other=0).to(tl.float32)[None, :]
    wk = tl.load(k_weight + column, mask=column < d, other=0).to(tl.float32)[None, :]
    mine = partial + program * 2 * BLOCK + column
    x = tl.load(qkv + at, mask=there, other=0).to(tl.float32)
    got = tl.load(d_q + to, mask=there, other=0).to(tl.float32)
    gradient, of_weight = _rms_norm_backward(got, x, wq, d, EPS)
    tl.store(d_qkv + at, gradient.to(kind), mask=there)
    tl.store(mine, of_weight)
    x = tl.load(qkv + at + H * d, mask=there, other=0).to(tl.float32)
    got = tl.load(d_k + to, mask=there, other=0).to(tl.float32)
    gradient, of_weight = _rms_norm_backward(got, x, wk, d, EPS)
    tl.store(d_qkv + at + H * d, gradient.to(kind), mask=there)
    tl.store(mine + BLOCK, of_weight)
    tl.store(d_qkv + at + 2 * H * d, tl.load(d_v + to, mask=there, other=0), mask=there)


def forward(qkv: Tensor, q_weight: Tensor, k_weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """q, k (normed) and v."""
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
    """Gradients of qkv, of q_weight and of k_weight."""
    qkv = qkv.contiguous()
    heads, dim = qkv.shape[-2:]
    d_qkv = torch.empty_like(qkv)
    pairs = d_q.numel() // dim
    programs = triton.cdiv(pairs, ROWS)
    tile = _launch_options(heads, dim)
    partial = qkv.new_empty((programs, 2, tile["BLOCK"]), dtype=torch.float32)
    _split_backward[(programs,)](
        *(got.contiguous() for got in (d_q, d_k, d_v)),
        qkv,
        q_weight.contiguous(),
        k_weight.contiguous(),
        d_qkv,
        partial,
        pairs,
        **tile,
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
