"""Attention in time at every place, read where the projection left it: the Triton of `time`.

qkv [B, T, S, 3, H, d]; a program takes one place and head, its T frames S * 3 * H * d numbers
apart, so nothing is transposed in memory. Rotation and RMS norm happen as q and k are loaded, and
are undone as their gradients are stored. Pairs (2i, 2i + 1) live apart, as evens and odds.
T up to 64 or so: a whole sequence is one tile.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from finetune.kernels.reference import EPS

FORWARD_WARPS, BACKWARD_WARPS = 4, 8  # more registers spill, fewer programs starve


@triton.jit
def _pairs(tile, T: tl.constexpr, HALF: tl.constexpr):
    """A tile [T, 2 * HALF] as evens and odds, [T, HALF] each, float32."""
    even, odd = tl.split(tl.reshape(tile.to(tl.float32), (T, HALF, 2)))
    return even, odd


@triton.jit
def _joined(even, odd, T: tl.constexpr, HALF: tl.constexpr):
    """The inverse of `_pairs`."""
    return tl.reshape(tl.join(even, odd), (T, 2 * HALF))


@triton.jit
def _turned(
    tile, cos, sin, d: tl.constexpr, EPS: tl.constexpr, T: tl.constexpr, HALF: tl.constexpr
):
    """The tile rotated, and brought to RMS one: evens, odds, and the factor that did it [T]."""
    even, odd = _pairs(tile, T, HALF)
    first = even * cos - odd * sin
    second = odd * cos + even * sin
    square = tl.sum(first * first, 1) + tl.sum(second * second, 1)
    sharpness = tl.rsqrt(square / d + EPS)
    return first * sharpness[:, None], second * sharpness[:, None], sharpness


@triton.jit
def _unturned(
    d_first,
    d_second,
    first,
    second,
    sharpness,
    cos,
    sin,
    d: tl.constexpr,
    T: tl.constexpr,
    HALF: tl.constexpr,
):
    """The gradient before `_turned`, from the one after it (without the weight): [T, 2 * HALF]."""
    along = (tl.sum(d_first * first, 1) + tl.sum(d_second * second, 1)) / d
    d_first = sharpness[:, None] * (d_first - first * along[:, None])
    d_second = sharpness[:, None] * (d_second - second * along[:, None])
    even = d_first * cos + d_second * sin
    odd = d_second * cos - d_first * sin
    return _joined(even, odd, T, HALF)


@triton.jit
def _weights(at, inside, HALF: tl.constexpr):
    """A norm's weight as evens and odds [1, HALF], float32."""
    half = tl.arange(0, HALF)
    even = tl.load(at + 2 * half, mask=inside, other=0).to(tl.float32)
    odd = tl.load(at + 2 * half + 1, mask=inside, other=0).to(tl.float32)
    return even[None, :], odd[None, :]


@triton.jit
def _softmax(q1, q2, k1, k2, scale, frames, T: tl.constexpr):
    """Attention weights [T, T] float32, masked past the last frame."""
    score = tl.dot(q1, tl.trans(k1), input_precision="ieee")
    score = tl.dot(q2, tl.trans(k2), score, input_precision="ieee") * scale
    score = tl.where(tl.arange(0, T)[None, :] < frames, score, -float("inf"))
    weight = tl.exp(score - tl.max(score, 1)[:, None])
    return weight / tl.sum(weight, 1)[:, None]


@triton.jit
def _forward_kernel(
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
    d: tl.constexpr,
    EPS: tl.constexpr,
    T: tl.constexpr,
    HALF: tl.constexpr,
):
    """One place and head: T frames attend to each other."""
    clip, place = tl.program_id(0).to(tl.int64) // places, tl.program_id(0) % places
    head = tl.program_id(1)
    time, wide, half = tl.arange(0, T), tl.arange(0, 2 * HALF), tl.arange(0, HALF)
    inside = half < d // 2
    there = (time < frames)[:, None] & (wide < d)[None, :]
    angle = (time < frames)[:, None] & inside[None, :]
    c = tl.load(cos + time[:, None] * (d // 2) + half[None, :], mask=angle, other=1)
    s = tl.load(sin + time[:, None] * (d // 2) + half[None, :], mask=angle, other=0)
    token = (clip * frames + time[:, None]) * places + place
    at = qkv + token * (3 * H * d) + head * d + wide[None, :]
    kind = qkv.dtype.element_ty

    q1, q2, _ = _turned(tl.load(at, mask=there, other=0), c, s, d, EPS, T, HALF)
    w1, w2 = _weights(q_weight, inside, HALF)
    q1, q2 = (q1 * w1).to(kind), (q2 * w2).to(kind)
    k1, k2, _ = _turned(tl.load(at + H * d, mask=there, other=0), c, s, d, EPS, T, HALF)
    w1, w2 = _weights(k_weight, inside, HALF)
    k1, k2 = (k1 * w1).to(kind), (k2 * w2).to(kind)
    weight = _softmax(q1, q2, k1, k2, scale, frames, T)
    v = tl.load(at + 2 * H * d, mask=there, other=0)
    mixed = tl.dot(weight.to(kind), v, input_precision="ieee")
    tl.store(out + token * (H * d) + head * d + wide[None, :], mixed.to(kind), mask=there)


@triton.jit
def _backward_kernel(
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
    d: tl.constexpr,
    EPS: tl.constexpr,
    T: tl.constexpr,
    HALF: tl.constexpr,
):
    """One place and head: everything made again, then its gradients; partial sums of weights'.

    q and k are read twice, the second time from cache: kept in registers they would halve the
    number of programs that fit.
    """
    clip, place = tl.program_id(0).to(tl.int64) // places, tl.program_id(0) % places
    head = tl.program_id(1)
    time, wide, half = tl.arange(0, T), tl.arange(0, 2 * HALF), tl.arange(0, HALF)
    inside = half < d // 2
    there = (time < frames)[:, None] & (wide < d)[None, :]
    angle = (time < frames)[:, None] & inside[None, :]
    cos += time[:, None] * (d // 2) + half[None, :]
    sin += time[:, None] * (d // 2) + half[None, :]
    token = (clip * frames + time[:, None]) * places + place
    offset = token * (3 * H * d) + head * d + wide[None, :]
    at, to = qkv + offset, d_qkv + offset
    kind = qkv.dtype.element_ty

    c, s = tl.load(cos, mask=angle, other=1), tl.load(sin, mask=angle, other=0)
    q1, q2, _ = _turned(tl.load(at, mask=there, other=0), c, s, d, EPS, T, HALF)
    wq1, wq2 = _weights(q_weight, inside, HALF)
    q1_in, q2_in = (q1 * wq1).to(kind), (q2 * wq2).to(kind)
    k1, k2, _ = _turned(tl.load(at + H * d, mask=there, other=0), c, s, d, EPS, T, HALF)
    wk1, wk2 = _weights(k_weight, inside, HALF)
    k1_in, k2_in = (k1 * wk1).to(kind), (k2 * wk2).to(kind)
    weight = _softmax(q1_in, q2_in, k1_in, k2_in, scale, frames, T)

    v = tl.load(at + 2 * H * d, mask=there, other=0)
    got = tl.load(d_out + token * (H * d) + head * d + wide[None, :], mask=there, other=0)
    d_weight = tl.dot(got, tl.trans(v), input_precision="ieee")
    d_score = weight * (d_weight - tl.sum(weight * d_weight, 1)[:, None]) * scale
    d_score = tl.where((time < frames)[:, None], d_score, 0).to(kind)
    d_v = tl.dot(tl.trans(weight.to(kind)), got, input_precision="ieee")
    tl.store(to + 2 * H * d, d_v.to(kind), mask=there)

    mine = partial + (tl.program_id(0).to(tl.int64) * H + head) * 4 * HALF + half
    c, s = tl.load(cos, mask=angle, other=1), tl.load(sin, mask=angle, other=0)
    first, second, sharp = _turned(tl.load(at, mask=there, other=0), c, s, d, EPS, T, HALF)
    d1 = tl.dot(d_score, k1_in, input_precision="ieee")
    d2 = tl.dot(d_score, k2_in, input_precision="ieee")
    tl.store(mine, tl.sum(d1 * first, 0))
    tl.store(mine + HALF, tl.sum(d2 * second, 0))
    before = _unturned(d1 * wq1, d2 * wq2, first, second, sharp, c, s, d, T, HALF)
    tl.store(to, before.to(kind), mask=there)

    c, s = tl.load(cos, mask=angle, other=1), tl.load(sin, mask=angle, other=0)
    first, second, sharp = _turned(tl.load(at + H * d, mask=there, other=0), c, s, d, EPS, T, HALF)
    back = tl.trans(d_score)
    d1 = tl.dot(back, q1_in, input_precision="ieee")
    d2 = tl.dot(back, q2_in, input_precision="ieee")
    tl.store(mine + 2 * HALF, tl.sum(d1 * first, 0))
    tl.store(mine + 3 * HALF, tl.sum(d2 * second, 0))
    before = _unturned(d1 * wk1, d2 * wk2, first, second, sharp, c, s, d, T, HALF)
    tl.store(to + H * d, before.to(kind), mask=there)


def forward(qkv: Tensor, q_weight: Tensor, k_weight: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """-> [B, T, S, H * d]."""
    qkv = qkv.contiguous()
    batch, frames, places, _, heads, dim = qkv.shape
    out = qkv.new_empty(batch, frames, places, heads * dim)
    weights = (q_weight.contiguous(), k_weight.contiguous(), cos.contiguous(), sin.contiguous())
    _forward_kernel[(batch * places, heads)](
        qkv,
        *weights,
        out,
        frames,
        places,
        dim**-0.5,
        **_tile(frames, heads, dim),
        num_warps=FORWARD_WARPS,
    )
    return out


def backward(
    d_out: Tensor, qkv: Tensor, q_weight: Tensor, k_weight: Tensor, cos: Tensor, sin: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of qkv, of q_weight and of k_weight."""
    qkv = qkv.contiguous()
    batch, frames, places, _, heads, dim = qkv.shape
    d_qkv = torch.empty_like(qkv)
    tile = _tile(frames, heads, dim)
    partial = qkv.new_empty((batch * places * heads, 4, tile["HALF"]), dtype=torch.float32)
    weights = (q_weight.contiguous(), k_weight.contiguous(), cos.contiguous(), sin.contiguous())
    _backward_kernel[(batch * places, heads)](
        d_out.contiguous(),
        qkv,
        *weights,
        d_qkv,
        partial,
        frames,
        places,
        dim**-0.5,
        **tile,
        num_warps=BACKWARD_WARPS,
    )
    sums = partial.sum(0)[:, : dim // 2]  # q's evens and odds, then k's
    d_q, d_k = sums.view(2, 2, -1).transpose(1, 2).flatten(1).to(q_weight.dtype)
    return d_qkv, d_q.clone(), d_k.clone()


def _tile(frames: int, heads: int, dim: int) -> dict[str, Any]:
    return {
        "H": heads,
        "d": dim,
        "EPS": EPS,
        "T": max(16, triton.next_power_of_2(frames)),  # the least that a matrix product takes
        "HALF": max(16, triton.next_power_of_2(dim // 2)),
    }
