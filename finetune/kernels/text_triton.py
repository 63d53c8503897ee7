"""Attention to the text, whose few keys stay on the chip: the Triton of `text`.

q [B, M, H, d]; kv [B, L, 2, H, d], of which a clip's real tokens are the first `lengths` [B] rows
that `order` [B, L] names. Scores are kept in powers of two, whose exponential is the faster one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from finetune.kernels.tiles import load_rows, row_dot_products, store_rows, tile_widths

LOG2_E = 1.4426950408889634
KEY_GRAD_PROGRAMS = 128  # programs that share the keys' gradients, for each block of keys


class TileConfig(NamedTuple):
    """Queries and keys of one product, and how it is run."""

    QUERIES: int
    KEYS: int
    num_warps: int
    num_stages: int


FORWARD_TILES = TileConfig(64, 64, 4, 2)
QUERY_GRAD_TILES = TileConfig(64, 64, 4, 3)
KEY_GRAD_TILES = TileConfig(64, 64, 4, 3)


@triton.jit
def _key_rows(order, lengths, clip, first, L: tl.constexpr, KEYS: tl.constexpr):
    """Rows of kv, over all clips, of a block of real tokens, and which of them are there."""
    key = first + tl.arange(0, KEYS)
    real = key < tl.load(lengths + clip)
    return clip * L + tl.load(order + clip * L + key, mask=real, other=0), real


@triton.jit
def _text_forward(
    q,
    kv,
    order,
    lengths,
    out,
    log_sum,
    M,
    scale,
    L: tl.constexpr,
    H: tl.constexpr,
    d: tl.constexpr,
    MAIN: tl.constexpr,
    REST: tl.constexpr,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
):
    """A block of queries of one head: all keys pass by."""
    head, clip = tl.program_id(1), tl.program_id(2).to(tl.int64)
    query = tl.program_id(0) * QUERIES + tl.arange(0, QUERIES)
    asked = query < M
    place = ((clip * M + query) * H + head) * d
    q1, q2 = load_rows(q + place, asked, d, MAIN, REST)
    most = tl.full([QUERIES], -float("inf"), tl.float32)
    total = tl.zeros([QUERIES], tl.float32)
    out1, out2 = tl.zeros([QUERIES, MAIN], tl.float32), tl.zeros([QUERIES, REST], tl.float32)
    for first in range(0, tl.load(lengths + clip), KEYS):
        row, real = _key_rows(order, lengths, clip, first, L, KEYS)
        at = kv + (row * 2 * H + head) * d
        k1, k2 = load_rows(at, real, d, MAIN, REST)
        score = tl.where(real[None, :], row_dot_products(q1, q2, k1, k2) * scale, -float("inf"))
        higher = tl.maximum(most, tl.max(score, 1))
        weight, fade = tl.exp2(score - higher[:, None]), tl.exp2(most - higher)
        most, total = higher, total * fade + tl.sum(weight, 1)
        v1, v2 = load_rows(at + H * d, real, d, MAIN, REST)
        weight = weight.to(v1.dtype)
        out1 = tl.dot(weight, v1, out1 * fade[:, None], input_precision="ieee")
        out2 = tl.dot(weight, v2, out2 * fade[:, None], input_precision="ieee")
    share = 1 / tl.where(total > 0, total, 1)[:, None]  # without a token: zeros
    store_rows(out + place, out1 * share, out2 * share, asked, d, MAIN, REST)
    tl.store(log_sum + (clip * H + head) * M + query, most + tl.log2(total), mask=asked)


@triton.jit
def _text_backward_queries(
    d_out,
    q,
    kv,
    order,
    lengths,
    out,
    log_sum,
    d_q,
    along,
    M,
    scale,
    natural,
    L: tl.constexpr,
    H: tl.constexpr,
    d: tl.constexpr,
    MAIN: tl.constexpr,
    REST: tl.constexpr,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
):
    """A block of queries of one head: their gradient, and the sums that the keys' will need."""
    head, clip = tl.program_id(1), tl.program_id(2).to(tl.int64)
    query = tl.program_id(0) * QUERIES + tl.arange(0, QUERIES)
    asked = query < M
    place = ((clip * M + query) * H + head) * d
    g1, g2 = load_rows(d_out + place, asked, d, MAIN, REST)
    o1, o2 = load_rows(out + place, asked, d, MAIN, REST)
    mine = tl.sum(g1.to(tl.float32) * o1.to(tl.float32), 1)
    mine += tl.sum(g2.to(tl.float32) * o2.to(tl.float32), 1)
    beside = (clip * H + head) * M + query
    tl.store(along + beside, mine, mask=asked)
    sums = tl.load(log_sum + beside, mask=asked, other=float("inf"))
    q1, q2 = load_rows(q + place, asked, d, MAIN, REST)
    d1, d2 = tl.zeros([QUERIES, MAIN], tl.float32), tl.zeros([QUERIES, REST], tl.float32)
    for first in range(0, tl.load(lengths + clip), KEYS):
        row, real = _key_rows(order, lengths, clip, first, L, KEYS)
        at = kv + (row * 2 * H + head) * d
        k1, k2 = load_rows(at, real, d, MAIN, REST)
        v1, v2 = load_rows(at + H * d, real, d, MAIN, REST)
        weight = tl.exp2(row_dot_products(q1, q2, k1, k2) * scale - sums[:, None])
        slope = tl.where(
            real[None, :], weight * (row_dot_products(g1, g2, v1, v2) - mine[:, None]), 0
        )
        slope = slope.to(k1.dtype)
        d1 = tl.dot(slope, k1, d1, input_precision="ieee")
        d2 = tl.dot(slope, k2, d2, input_precision="ieee")
    store_rows(d_q + place, d1 * natural, d2 * natural, asked, d, MAIN, REST)


@triton.jit
def _text_backward_keys(
    d_out,
    q,
    kv,
    order,
    lengths,
    log_sum,
    along,
    partial,
    M,
    scale,
    natural,
    EACH,
    L: tl.constexpr,
    H: tl.constexpr,
    d: tl.constexpr,
    MAIN: tl.constexpr,
    REST: tl.constexpr,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
):
    """A block of keys of one head: the gradient from its share of the queries."""
    blocks: tl.constexpr = (L + KEYS - 1) // KEYS
    head, clip = tl.program_id(1), tl.program_id(2).to(tl.int64) // blocks
    first = tl.program_id(2) % blocks * KEYS
    if first >= tl.load(lengths + clip):
        return
    row, real = _key_rows(order, lengths, clip, first, L, KEYS)
    at = (row * 2 * H + head) * d
    k1, k2 = load_rows(kv + at, real, d, MAIN, REST)
    v1, v2 = load_rows(kv + at + H * d, real, d, MAIN, REST)
    dk1, dk2 = tl.zeros([KEYS, MAIN], tl.float32), tl.zeros([KEYS, REST], tl.float32)
    dv1, dv2 = tl.zeros([KEYS, MAIN], tl.float32), tl.zeros([KEYS, REST], tl.float32)
    begin = tl.program_id(0) * EACH
    for start in range(begin, tl.minimum(begin + EACH, M), QUERIES):
        query = start + tl.arange(0, QUERIES)
        asked = query < tl.minimum(begin + EACH, M)
        place = ((clip * M + query) * H + head) * d
        beside = (clip * H + head) * M + query
        q1, q2 = load_rows(q + place, asked, d, MAIN, REST)
        sums = tl.load(log_sum + beside, mask=asked, other=float("inf"))
        weight = tl.exp2(row_dot_products(k1, k2, q1, q2) * scale - sums[None, :])
        g1, g2 = load_rows(d_out + place, asked, d, MAIN, REST)
        dv1 = tl.dot(weight.to(g1.dtype), g1, dv1, input_precision="ieee")
        dv2 = tl.dot(weight.to(g1.dtype), g2, dv2, input_precision="ieee")
        mine = tl.load(along + beside, mask=asked, other=0)
        slope = (weight * (row_dot_products(v1, v2, g1, g2) - mine[None, :])).to(q1.dtype)
        dk1 = tl.dot(slope, q1, dk1, input_precision="ieee")
        dk2 = tl.dot(slope, q2, dk2, input_precision="ieee")
    to = partial + tl.program_id(0).to(tl.int64) * tl.num_programs(2) // blocks * L * 2 * H * d + at
    store_rows(to, dk1 * natural, dk2 * natural, real, d, MAIN, REST)
    store_rows(to + H * d, dv1, dv2, real, d, MAIN, REST)


def forward(q: Tensor, kv: Tensor, order: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """-> [B, M, H, d], and the scores' log-sums [B, H, M] in powers of two."""
    q, kv = q.contiguous(), kv.contiguous()
    batch, queries, heads, dim = q.shape
    out = torch.empty_like(q)
    log_sum = q.new_empty((batch, heads, queries), dtype=torch.float32)
    grid = (triton.cdiv(queries, FORWARD_TILES.QUERIES), heads, batch)
    scale = dim**-0.5 * LOG2_E
    tiles = FORWARD_TILES._asdict() | _widths(kv)
    _text_forward[grid](q, kv, order, lengths, out, log_sum, queries, scale, **tiles)
    return out, log_sum


def backward(
    d_out: Tensor,
    q: Tensor,
    kv: Tensor,
    order: Tensor,
    lengths: Tensor,
    out: Tensor,
    log_sum: Tensor,
) -> tuple[Tensor, Tensor]:
    """Gradients of q and of kv; zeros for tokens that are not real."""
    d_out, q, kv = d_out.contiguous(), q.contiguous(), kv.contiguous()
    batch, queries, heads, dim = q.shape
    d_q, along = torch.empty_like(q), torch.empty_like(log_sum)
    scales = dim**-0.5 * LOG2_E, dim**-0.5
    grid = (triton.cdiv(queries, QUERY_GRAD_TILES.QUERIES), heads, batch)
    tiles = QUERY_GRAD_TILES._asdict() | _widths(kv)
    text = kv, order, lengths
    _text_backward_queries[grid](
        d_out, q, *text, out, log_sum, d_q, along, queries, *scales, **tiles
    )

    blocks = triton.cdiv(kv.shape[1], KEY_GRAD_TILES.KEYS)
    most = triton.cdiv(queries, KEY_GRAD_TILES.QUERIES)
    chunks = min(most, max(1, KEY_GRAD_PROGRAMS // (batch * heads)))
    each = triton.cdiv(most, chunks) * KEY_GRAD_TILES.QUERIES
    partial = torch.zeros((chunks, *kv.shape), dtype=torch.float32, device=kv.device)
    tiles = KEY_GRAD_TILES._asdict() | _widths(kv)
    _text_backward_keys[(chunks, heads, batch * blocks)](
        d_out, q, *text, log_sum, along, partial, queries, *scales, each, **tiles
    )
    return d_q, partial.sum(0).to(kv.dtype)


def _widths(kv: Tensor) -> dict[str, Any]:
    _, length, _, heads, dim = kv.shape
    return {"L": length, "H": heads, **tile_widths(dim)}
