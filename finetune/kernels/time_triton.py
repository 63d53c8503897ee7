"""Attention in time at every place, read where the projection left it: the Triton of `time`.

qkv [B, T, S, 3, H, d]; a program takes one place and head, its T frames S * 3 * H * d numbers
apart, so nothing is transposed in memory. Rotation and RMS norm happen as q and k are loaded, and
are undone as their gradients are stored. T up to 128: a whole sequence is one tile.
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
# From 64 frames on, Hopper's own product is used. Of tiles of 16 columns Triton 3.6 makes one that
# reads memory it should not (four warps), so those heads are two tiles of 64.
MIN_WGMMA_FRAMES, WGMMA_REST_WIDTH = 64, 64


@triton.jit
def _apply_rotary(x, cos, sin, T: tl.constexpr, WIDTH: tl.constexpr):
    """Pairs (2i, 2i + 1) of x [T, WIDTH] turned by angles [T, WIDTH // 2]."""
    even, odd = tl.split(tl.reshape(x, (T, WIDTH // 2, 2)))
    turned = tl.join(even * cos - odd * sin, odd * cos + even * sin)
    return tl.reshape(turned, (T, WIDTH))


@triton.jit
def _load_angles(
    table, time, frames, other, d: tl.constexpr, FIRST: tl.constexpr, COUNT: tl.constexpr
):
    """Columns of a table of cosines or sines [T, d // 2], `other` outside it."""
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
    """Rows rotated and brought to RMS one, and the factor that did it [T]; float32."""
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
    sharpness = tl.rsqrt((tl.sum(x1 * x1, 1) + tl.sum(x2 * x2, 1)) / d + EPS)
    return x1 * sharpness[:, None], x2 * sharpness[:, None], sharpness


@triton.jit
def _load_norm_weight(at, d: tl.constexpr, MAIN: tl.constexpr, REST: tl.constexpr):
    """A norm's weight as rows of one, float32."""
    main, rest = tl.arange(0, MAIN), MAIN + tl.arange(0, REST)
    one = tl.load(at + main, mask=main < d, other=0).to(tl.float32)
    two = tl.load(at + rest, mask=rest < d, other=0).to(tl.float32)
    return one[None, :], two[None, :]


@triton.jit
def _softmax(q1, q2, k1, k2, scale, frames, T: tl.constexpr):
    """Attention weights [T, T] float32, masked past the last frame."""
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
    places,
    scale,
    H: tl.constexpr,
    EPS: tl.constexpr,
    T: tl.constexpr,
    d: tl.constexpr,
    MAIN: tl.constexpr,
    REST: tl.constexpr,
):
    """One place and head: T frames attend to each other."""
    clip, place = tl.program_id(0).to(tl.int64) // places, tl.program_id(0) % places
    head, time = tl.program_id(1), tl.arange(0, T)
    token = (clip * frames + time) * places + place
    at = qkv + token * (3 * H * d) + head * d
    kind = qkv.dtype.element_ty
    q1, q2, _ = _rotary_rms_norm(at, cos, sin, time, frames, d, EPS, T, MAIN, REST)
    w1, w2 = _load_norm_weight(q_weight, d, MAIN, REST)
    q1, q2 = (q1 * w1).to(kind), (q2 * w2).to(kind)
    k1, k2, _ = _rotary_rms_norm(at + H * d, cos, sin, time, frames, d, EPS, T, MAIN, REST)
    w1, w2 = _load_norm_weight(k_weight, d, MAIN, REST)
    weight = _softmax(q1, q2, (k1 * w1).to(kind), (k2 * w2).to(kind), scale, frames, T)
    v1, v2 = load_rows(at + 2 * H * d, time < frames, d, MAIN, REST)
    out1, out2 = weighted_row_sums(weight.to(kind), v1, v2)
    store_rows(out + token * (H * d) + head * d, out1, out2, time < frames, d, MAIN, REST)


@triton.jit
def _store_norm_backward(
    at,
    to,
    of_weight,
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
    """From the gradient after norm and weight: those of the rows at `at`, and of the weight.

    The rows are read again, from cache: kept in registers they would leave room for fewer programs.
    """
    half: tl.constexpr = MAIN // 2
    x1, x2, sharpness = _rotary_rms_norm(at, cos, sin, time, frames, d, EPS, T, MAIN, REST)
    main, rest = tl.arange(0, MAIN), MAIN + tl.arange(0, REST)
    tl.store(of_weight + main, tl.sum(g1 * x1, 0), mask=main < d)
    tl.store(of_weight + rest, tl.sum(g2 * x2, 0), mask=rest < d)
    g1, g2 = g1 * w1, g2 * w2
    along = ((tl.sum(g1 * x1, 1) + tl.sum(g2 * x2, 1)) / d)[:, None]
    g1, g2 = (g1 - x1 * along) * sharpness[:, None], (g2 - x2 * along) * sharpness[:, None]
    c, s = (
        _load_angles(cos, time, frames, 1, d, 0, half),
        _load_angles(sin, time, frames, 0, d, 0, half),
    )
    g1 = _apply_rotary(g1, c, -s, T, MAIN)
    c = _load_angles(cos, time, frames, 1, d, half, REST // 2)
    s = _load_angles(sin, time, frames, 0, d, half, REST // 2)
    store_rows(to, g1, _apply_rotary(g2, c, -s, T, REST), time < frames, d, MAIN, REST)


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
    places,
    scale,
    H: tl.constexpr,
    EPS: tl.constexpr,
    T: tl.constexpr,
    d: tl.constexpr,
    MAIN: tl.constexpr,
    REST: tl.constexpr,
):
    """One place and head: everything made again, then its gradients; partial sums of weights'."""
    clip, place = tl.program_id(0).to(tl.int64) // places, tl.program_id(0) % places
    head, time = tl.program_id(1), tl.arange(0, T)
    there = time < frames
    token = (clip * frames + time) * places + place
    offset = token * (3 * H * d) + head * d
    at, to = qkv + offset, d_qkv + offset
    kind = qkv.dtype.element_ty
    q1, q2, _ = _rotary_rms_norm(at, cos, sin, time, frames, d, EPS, T, MAIN, REST)
    wq1, wq2 = _load_norm_weight(q_weight, d, MAIN, REST)
    q1, q2 = (q1 * wq1).to(kind), (q2 * wq2).to(kind)
    k1, k2, _ = _rotary_rms_norm(at + H * d, cos, sin, time, frames, d, EPS, T, MAIN, REST)
    wk1, wk2 = _load_norm_weight(k_weight, d, MAIN, REST)
    k1, k2 = (k1 * wk1).to(kind), (k2 * wk2).to(kind)
    weight = _softmax(q1, q2, k1, k2, scale, frames, T)

    got1, got2 = load_rows(d_out + token * (H * d) + head * d, there, d, MAIN, REST)
    v1, v2 = load_rows(at + 2 * H * d, there, d, MAIN, REST)
    d_weight = row_dot_products(got1, got2, v1, v2)
    slope = weight * (d_weight - tl.sum(weight * d_weight, 1)[:, None]) * scale
    slope = tl.where(there[:, None], slope, 0).to(kind)
    g1, g2 = weighted_row_sums(tl.trans(weight.to(kind)), got1, got2)
    store_rows(to + 2 * H * d, g1, g2, there, d, MAIN, REST)

    mine = partial + (tl.program_id(0).to(tl.int64) * H + head) * 2 * d
    g1, g2 = weighted_row_sums(slope, k1, k2)
    _store_norm_backward(
        at, to, mine, g1, g2, wq1, wq2, cos, sin, time, frames, d, EPS, T, MAIN, REST
    )
    g1, g2 = weighted_row_sums(tl.trans(slope), q1, q2)
    at, to, mine = at + H * d, to + H * d, mine + d
    _store_norm_backward(
        at, to, mine, g1, g2, wk1, wk2, cos, sin, time, frames, d, EPS, T, MAIN, REST
    )


def forward(qkv: Tensor, q_weight: Tensor, k_weight: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """-> [B, T, S, H * d]."""
    qkv = qkv.contiguous()
    batch, frames, places, _, heads, dim = qkv.shape
    out = qkv.new_empty(batch, frames, places, heads * dim)
    weights = (q_weight.contiguous(), k_weight.contiguous(), cos.contiguous(), sin.contiguous())
    _time_forward[(batch * places, heads)](
        qkv, *weights, out, frames, places, dim**-0.5, **_launch_options(frames, heads, dim)
    )
    return out


def backward(
    d_out: Tensor, qkv: Tensor, q_weight: Tensor, k_weight: Tensor, cos: Tensor, sin: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of qkv, of q_weight and of k_weight."""
    d_out, qkv = d_out.contiguous(), qkv.contiguous()
    batch, frames, places, _, heads, dim = qkv.shape
    d_qkv = torch.empty_like(qkv)
    partial = qkv.new_empty((batch * places * heads, 2, dim), dtype=torch.float32)
    weights = (q_weight.contiguous(), k_weight.contiguous(), cos.contiguous(), sin.contiguous())
    tile = _launch_options(frames, heads, dim)
    _time_backward[(batch * places, heads)](
        d_out, qkv, *weights, d_qkv, partial, frames, places, dim**-0.5, **tile
    )
    of_q, of_k = partial.sum(0).to(q_weight.dtype)
    return d_qkv, of_q.clone(), of_k.clone()


def _launch_options(frames: int, heads: int, dim: int) -> dict[str, Any]:
    tall = max(MIN_DOT_SIZE, triton.next_power_of_2(frames))
    columns = tile_widths(dim, rest=WGMMA_REST_WIDTH if tall >= MIN_WGMMA_FRAMES else MIN_DOT_SIZE)
    return {"H": heads, "EPS": EPS, "T": tall, **columns, "num_warps": tall // FRAMES_PER_WARP}
