"""Triton kernels of `time`: attention over frames at each patch, without a transposed copy.

qkv [B, T, S, 3, H, d]; a program processes one patch and head, whose T frames lie S * 3 * H * d
elements apart. q and k are rotated and RMS-normed when loaded; backward inverts that when their
gradients are stored. T is at most 128: a whole sequence is one tile.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from finetune.kernels.reference import EPS
from finetune.kernels.tiles import (
    MIN_DOT_SIZE,
    load_rows,
    row_dot_products,
    store_rows,
    tile_widths,
    weighted_row_sums,
)

FRAMES_PER_WARP = 16
# From 64 frames on, Triton uses Hopper's WGMMA. With tiles of 16 columns and four warps, Triton 3.6
# generates one that reads out of bounds, so those heads are two tiles of 64.
MIN_WGMMA_FRAMES, WGMMA_REST_WIDTH = 64, 64


@triton.jit
def _apply_rotary(x, cos, sin, T: tl.constexpr, WIDTH: tl.constexpr):
    """Rotate pairs (2i, 2i + 1) of x [T, WIDTH] by angles [T, WIDTH // 2]."""
    even, odd = tl.split(tl.reshape(x, (T, WIDTH // 2, 2)))
    rotated = tl.join(even * cos - odd * sin, odd * cos + even * sin)
    return tl.reshape(rotated, (T, WIDTH))


@triton.jit
def _load_angles(
    table, time, frames, other, d: tl.constexpr, FIRST: tl.constexpr, COUNT: tl.constexpr
):
    """Load columns of a table of cosines or sines [T, d // 2], `other` outside it."""
    pair = FIRST + tl.arange(0, COUNT)
    inside = (time < frames)[:, None] & (pair < d // 2)[None, :]
    return tl.load(table + time[:, None] * (d // 2) + pair[None, :], mask=inside, other=other)


@triton.jit
def _rotary_rms_norm(
    at,
    cos,
    sin,
    time,
    frames,
    d: tl.constexpr,
    EPS: tl.constexpr,
    T: tl.constexpr,
    MAIN: tl.constexpr,
    REST: tl.constexpr,
):
    """Load rows, rotate them and scale them to RMS 1; return them and the factors [T], float32."""
    half: tl.constexpr = MAIN // 2
    x1, x2 = load_rows(at, time < frames, d, MAIN, REST)
    c, s = (
        _load_angles(cos, time, frames, 1, d, 0, half),
        _load_angles(sin, time, frames, 0, d, 0, half),
    )
    x1 = _apply_rotary(x1.to(tl.float32), c, s, T, MAIN)
    c = _load_angles(cos, time, frames, 1, d, half, REST // 2)
    s = _load_angles(sin, time, frames, 0, d, half, REST // 2)
    x2 = _apply_rotary(x2.to(tl.float32), c, s, T, REST)
    inv_rms = tl.rsqrt((tl.sum(x1 * x1, 1) + tl.sum(x2 * x2, 1)) / d + EPS)
    return x1 * inv_rms[:, None], x2 * inv_rms[:, None], inv_rms


@triton.jit
def _load_norm_weight(at, d: tl.constexpr, MAIN: tl.constexpr, REST: tl.constexpr):
    """Load a norm's weight as tiles of one row, float32."""
    main, rest = tl.arange(0, MAIN), MAIN + tl.arange(0, REST)
    one = tl.load(at + main, mask=main < d, other=0).to(tl.float32)
    two = tl.load(at + rest, mask=rest < d, other=0).to(tl.float32)
    return one[None, :], two[None, :]


@triton.jit
def _softmax(q1, q2, k1, k2, scale, frames, T: tl.constexpr):
    """Return attention weights [T, T] float32, masked past the last frame."""
    score = row_dot_products(q1, q2, k1, k2) * scale
    score = tl.where(tl.arange(0, T)[None, :] < frames, score, -float("inf"))
    weight = tl.exp(score - tl.max(score, 1)[:, None])
    return weight / tl.sum(weight, 1)[:, None]


@triton.jit
def _time_forward(
    qkv,
    q_weight,
    k_weight,
    cos,
    sin,
    out,
    frames,
    patches,
    scale,
    H: tl.constexpr,
    EPS: tl.constexpr,
    T: tl.constexpr,
    d: tl.constexpr,
    MAIN: tl.constexpr,
    REST: tl.constexpr,
):
    """Process one patch and head: T frames attend to each other."""
    clip, patch = tl.program_id(0).to(tl.int64) // patches, tl.program_id(0) % patches
    head, time = tl.program_id(1), tl.arange(0, T)
    token = (clip * frames + time) * patches + patch
    at = qkv + token * (3 * H * d) + head * d
    dtype = qkv.dtype.element_ty
    q1, q2, _ = _rotary_rms_norm(at, cos, sin, time, frames, d, EPS, T, MAIN, REST)
    w1, w2 = _load_norm_weight(q_weight, d, MAIN, REST)
    q1, q2 = (q1 * w1).to(dtype), (q2 * w2).to(dtype)
    k1, k2, _ = _rotary_rms_norm(at + H * d, cos, sin, time, frames, d, EPS, T, MAIN, REST)
    w1, w2 = _load_norm_weight(k_weight, d, MAIN, REST)
    weight = _softmax(q1, q2, (k1 * w1).to(dtype), (k2 * w2).to(dtype), scale, frames, T)
    v1, v2 = load_rows(at + 2 * H * d, time < frames, d, MAIN, REST)
    out1, out2 = weighted_row_sums(weight.to(dtype), v1, v2)
    store_rows(out + token * (H * d) + head * d, out1, out2, time < frames, d, MAIN, REST)


@triton.jit
def _store_norm_backward(
    at,
    target,
    d_weight,
    g1,
    g2,
    w1,
    w2,
    cos,
    sin,
    time,
    frames,
    d: tl.constexpr,
    EPS: tl.constexpr,
    T: tl.constexpr,
    MAIN: tl.constexpr,
    REST: tl.constexpr,
):
    """Store the gradients of the rows at `at` and of the norm's weight, from those after the norm.

    The rows are loaded again, from cache: in registers they would lower the occupancy.
    """
    half: tl.constexpr = MAIN // 2
    x1, x2, inv_rms = _rotary_rms_norm(at, cos, sin, time, frames, d, EPS, T, MAIN, REST)
    main, rest = tl.arange(0, MAIN), MAIN + tl.arange(0, REST)
    tl.store(d_weight + main, tl.sum(g1 * x1, 0), mask=main < d)
    tl.store(d_weight + rest, tl.sum(g2 * x2, 0), mask=rest < d)
    g1, g2 = g1 * w1, g2 * w2
    unit_dot = ((tl.sum(g1 * x1, 1) + tl.sum(g2 * x2, 1)) / d)[:, None]
    g1, g2 = (g1 - x1 * unit_dot) * inv_rms[:, None], (g2 - x2 * unit_dot) * inv_rms[:, None]
    c, s = (
        _load_angles(cos, time, frames, 1, d, 0, half),
        _load_angles(sin, time, frames, 0, d, 0, half),
    )
    g1 = _apply_rotary(g1, c, -s, T, MAIN)
    c = _load_angles(cos, time, frames, 1, d, half, REST // 2)
    s = _load_angles(sin, time, frames, 0, d, half, REST // 2)
    store_rows(target, g1, _apply_rotary(g2, c, -s, T, REST), time < frames, d, MAIN, REST)


@triton.jit
def _time_backward(
    d_out,
    qkv,
    q_weight,
    k_weight,
    cos,
    sin,
    d_qkv,
    partial,
    frames,
    patches,
    scale,
    H: tl.constexpr,
    EPS: tl.constexpr,
    T: tl.constexpr,
    d: tl.constexpr,
    MAIN: tl.constexpr,
    REST: tl.constexpr,
):
    """Recompute one patch and head, then store its gradients and the norms' partial sums."""
    clip, patch = tl.program_id(0).to(tl.int64) // patches, tl.program_id(0) % patches
    head, time = tl.program_id(1), tl.arange(0, T)
    valid = time < frames
    token = (clip * frames + time) * patches + patch
    offset = token * (3 * H * d) + head * d
    at, target = qkv + offset, d_qkv + offset
    dtype = qkv.dtype.element_ty
    q1, q2, _ = _rotary_rms_norm(at, cos, sin, time, frames, d, EPS, T, MAIN, REST)
    wq1, wq2 = _load_norm_weight(q_weight, d, MAIN, REST)
    q1, q2 = (q1 * wq1).to(dtype), (q2 * wq2).to(dtype)
    k1, k2, _ = _rotary_rms_norm(at + H * d, cos, sin, time, frames, d, EPS, T, MAIN, REST)
    wk1, wk2 = _load_norm_weight(k_weight, d, MAIN, REST)
    k1, k2 = (k1 * wk1).to(dtype), (k2 * wk2).to(dtype)
    weight = _softmax(q1, q2, k1, k2, scale, frames, T)

    d_out1, d_out2 = load_rows(d_out + token * (H * d) + head * d, valid, d, MAIN, REST)
    v1, v2 = load_rows(at + 2 * H * d, valid, d, MAIN, REST)
    d_weight = row_dot_products(d_out1, d_out2, v1, v2)
    d_score = weight * (d_weight - tl.sum(weight * d_weight, 1)[:, None]) * scale
    d_score = tl.where(valid[:, None], d_score, 0).to(dtype)
    g1, g2 = weighted_row_sums(tl.trans(weight.to(dtype)), d_out1, d_out2)
    store_rows(target + 2 * H * d, g1, g2, valid, d, MAIN, REST)

    partial_row = partial + (tl.program_id(0).to(tl.int64) * H + head) * 2 * d
    g1, g2 = weighted_row_sums(d_score, k1, k2)
    _store_norm_backward(
        at, target, partial_row, g1, g2, wq1, wq2, cos, sin, time, frames, d, EPS, T, MAIN, REST
    )
    g1, g2 = weighted_row_sums(tl.trans(d_score), q1, q2)
    at, target, partial_row = at + H * d, target + H * d, partial_row + d
    _store_norm_backward(
        at, target, partial_row, g1, g2, wk1, wk2, cos, sin, time, frames, d, EPS, T, MAIN, REST
    )


def forward(qkv: Tensor, q_weight: Tensor, k_weight: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Return the output [B, T, S, H * d]."""
    qkv = qkv.contiguous()
    batch, frames, patches, _, heads, dim = qkv.shape
    out = qkv.new_empty(batch, frames, patches, heads * dim)
    weights = (q_weight.contiguous(), k_weight.contiguous(), cos.contiguous(), sin.contiguous())
    _time_forward[(batch * patches, heads)](
        qkv, *weights, out, frames, patches, dim**-0.5, **_launch_options(frames, heads, dim)
    )
    return out


def backward(
    d_out: Tensor, qkv: Tensor, q_weight: Tensor, k_weight: Tensor, cos: Tensor, sin: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return gradients of qkv, of q_weight and of k_weight."""
    d_out, qkv = d_out.contiguous(), qkv.contiguous()
    batch, frames, patches, _, heads, dim = qkv.shape
    d_qkv = torch.empty_like(qkv)
    partial = qkv.new_empty((batch * patches * heads, 2, dim), dtype=torch.float32)
    weights = (q_weight.contiguous(), k_weight.contiguous(), cos.contiguous(), sin.contiguous())
    options = _launch_options(frames, heads, dim)
    _time_backward[(batch * patches, heads)](
        d_out, qkv, *weights, d_qkv, partial, frames, patches, dim**-0.5, **options
    )
    of_q, of_k = partial.sum(0).to(q_weight.dtype)
    return d_qkv, of_q.clone(), of_k.clone()


def _launch_options(frames: int, heads: int, dim: int) -> dict[str, Any]:
    tile_frames = max(MIN_DOT_SIZE, triton.next_power_of_2(frames))
    widths = tile_widths(
        dim, rest=WGMMA_REST_WIDTH if tile_frames >= MIN_WGMMA_FRAMES else MIN_DOT_SIZE
    )
    return {
        "H": heads,
        "EPS": EPS,
        "T": tile_frames,
        **widths,
        "num_warps": tile_frames // FRAMES_PER_WARP,
    }
