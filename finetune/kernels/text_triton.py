"""Triton kernels of `text`: cross-attention whose few keys stay on the chip.

q [B, M, H, d]; kv [B, L, 2, H, d], of which a clip's real tokens are the first `lengths` [B] rows
in `order` [B, L]. Scores are in base 2, since exp2 is faster than exp.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from finetune.kernels.tiles import load_rows, row_dot_products, store_rows, tile_widths

LOG2_E = 1.4426950408889634
KEY_GRAD_PROGRAMS = 128  # programs that split the queries of one block of keys in backward


class TileConfig(NamedTuple):
    """Block sizes and launch options of a kernel."""

    QUERIES: int
    KEYS: int
    num_warps: int
    num_stages: int


FORWARD_TILES = TileConfig(64, 64, 4, 2)
QUERY_GRAD_TILES = TileConfig(64, 64, 4, 3)
KEY_GRAD_TILES = TileConfig(64, 64, 4, 3)


@triton.jit
def _key_rows(order, lengths, clip, first, L: tl.constexpr, KEYS: tl.constexpr):
    """Return the rows of kv, over all clips, of a block of real tokens, and their validity mask."""
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
    """Process a block of queries of one head over all keys, with an online softmax."""
    head, clip = tl.program_id(1), tl.program_id(2).to(tl.int64)
    query = tl.program_id(0) * QUERIES + tl.arange(0, QUERIES)
    valid = query < M
    offset = ((clip * M + query) * H + head) * d
    q1, q2 = load_rows(q + offset, valid, d, MAIN, REST)
    row_max = tl.full([QUERIES], -float("inf"), tl.float32)
    row_sum = tl.zeros([QUERIES], tl.float32)
    out1, out2 = tl.zeros([QUERIES, MAIN], tl.float32), tl.zeros([QUERIES, REST], tl.float32)
    for first in range(0, tl.load(lengths + clip), KEYS):
        row, real = _key_rows(order, lengths, clip, first, L, KEYS)
        at = kv + (row * 2 * H + head) * d
        k1, k2 = load_rows(at, real, d, MAIN, REST)
        score = tl.where(real[None, :], row_dot_products(q1, q2, k1, k2) * scale, -float("inf"))
        new_max = tl.maximum(row_max, tl.max(score, 1))
        weight, rescale = tl.exp2(score - new_max[:, None]), tl.exp2(row_max - new_max)
        row_max, row_sum = new_max, row_sum * rescale + tl.sum(weight, 1)
        v1, v2 = load_rows(at + H * d, real, d, MAIN, REST)
        weight = weight.to(v1.dtype)
        out1 = tl.dot(weight, v1, out1 * rescale[:, None], input_precision="ieee")
        out2 = tl.dot(weight, v2, out2 * rescale[:, None], input_precision="ieee")
    inv_sum = 1 / tl.where(row_sum > 0, row_sum, 1)[:, None]  # zeros for a clip without tokens
    store_rows(out + offset, out1 * inv_sum, out2 * inv_sum, valid, d, MAIN, REST)
    tl.store(log_sum + (clip * H + head) * M + query, row_max + tl.log2(row_sum), mask=valid)


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
    delta,
    M,
    scale,
    plain_scale,
    L: tl.constexpr,
    H: tl.constexpr,
    d: tl.constexpr,
    MAIN: tl.constexpr,
    REST: tl.constexpr,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
):
    """Compute gradients of a block of queries of one head, and `delta` for the keys' gradients."""
    head, clip = tl.program_id(1), tl.program_id(2).to(tl.int64)
    query = tl.program_id(0) * QUERIES + tl.arange(0, QUERIES)
    valid = query < M
    offset = ((clip * M + query) * H + head) * d
    g1, g2 = load_rows(d_out + offset, valid, d, MAIN, REST)
    o1, o2 = load_rows(out + offset, valid, d, MAIN, REST)
    row_delta = tl.sum(g1.to(tl.float32) * o1.to(tl.float32), 1)
    row_delta += tl.sum(g2.to(tl.float32) * o2.to(tl.float32), 1)
    stat_offset = (clip * H + head) * M + query
    tl.store(delta + stat_offset, row_delta, mask=valid)
    row_log_sum = tl.load(log_sum + stat_offset, mask=valid, other=float("inf"))
    q1, q2 = load_rows(q + offset, valid, d, MAIN, REST)
    d1, d2 = tl.zeros([QUERIES, MAIN], tl.float32), tl.zeros([QUERIES, REST], tl.float32)
    for first in range(0, tl.load(lengths + clip), KEYS):
        row, real = _key_rows(order, lengths, clip, first, L, KEYS)
        at = kv + (row * 2 * H + head) * d
        k1, k2 = load_rows(at, real, d, MAIN, REST)
        v1, v2 = load_rows(at + H * d, real, d, MAIN, REST)
        weight = tl.exp2(row_dot_products(q1, q2, k1, k2) * scale - row_log_sum[:, None])
        d_score = tl.where(
            real[None, :], weight * (row_dot_products(g1, g2, v1, v2) - row_delta[:, None]), 0
        )
        d_score = d_score.to(k1.dtype)
        d1 = tl.dot(d_score, k1, d1, input_precision="ieee")
        d2 = tl.dot(d_score, k2, d2, input_precision="ieee")
    store_rows(d_q + offset, d1 * plain_scale, d2 * plain_scale, valid, d, MAIN, REST)


@triton.jit
def _text_backward_keys(
    d_out,
    q,
    kv,
    order,
    lengths,
    log_sum,
    delta,
    partial,
    M,
    scale,
    plain_scale,
    QUERIES_PER_PROGRAM,
    L: tl.constexpr,
    H: tl.constexpr,
    d: tl.constexpr,
    MAIN: tl.constexpr,
    REST: tl.constexpr,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
):
    """Compute the gradient of a block of keys of one head from its share of the queries."""
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
    begin = tl.program_id(0) * QUERIES_PER_PROGRAM
    for start in range(begin, tl.minimum(begin + QUERIES_PER_PROGRAM, M), QUERIES):
        query = start + tl.arange(0, QUERIES)
        valid = query < tl.minimum(begin + QUERIES_PER_PROGRAM, M)
        offset = ((clip * M + query) * H + head) * d
        stat_offset = (clip * H + head) * M + query
        q1, q2 = load_rows(q + offset, valid, d, MAIN, REST)
        row_log_sum = tl.load(log_sum + stat_offset, mask=valid, other=float("inf"))
        weight = tl.exp2(row_dot_products(k1, k2, q1, q2) * scale - row_log_sum[None, :])
        g1, g2 = load_rows(d_out + offset, valid, d, MAIN, REST)
        dv1 = tl.dot(weight.to(g1.dtype), g1, dv1, input_precision="ieee")
        dv2 = tl.dot(weight.to(g1.dtype), g2, dv2, input_precision="ieee")
        row_delta = tl.load(delta + stat_offset, mask=valid, other=0)
        d_score = (weight * (row_dot_products(v1, v2, g1, g2) - row_delta[None, :])).to(q1.dtype)
        dk1 = tl.dot(d_score, q1, dk1, input_precision="ieee")
        dk2 = tl.dot(d_score, q2, dk2, input_precision="ieee")
    target = (
        partial + tl.program_id(0).to(tl.int64) * tl.num_programs(2) // blocks * L * 2 * H * d + at
    )
    store_rows(target, dk1 * plain_scale, dk2 * plain_scale, real, d, MAIN, REST)
    store_rows(target + H * d, dv1, dv2, real, d, MAIN, REST)


def forward(q: Tensor, kv: Tensor, order: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Return the output [B, M, H, d] and the scores' base-2 log-sum-exp [B, H, M]."""
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
    """Return gradients of q and of kv; zeros for padding tokens."""
    d_out, q, kv = d_out.contiguous(), q.contiguous(), kv.contiguous()
    batch, queries, heads, dim = q.shape
    d_q, delta = torch.empty_like(q), torch.empty_like(log_sum)
    scales = dim**-0.5 * LOG2_E, dim**-0.5
    grid = (triton.cdiv(queries, QUERY_GRAD_TILES.QUERIES), heads, batch)
    tiles = QUERY_GRAD_TILES._asdict() | _widths(kv)
    text = kv, order, lengths
    _text_backward_queries[grid](
        d_out, q, *text, out, log_sum, d_q, delta, queries, *scales, **tiles
    )

    blocks = triton.cdiv(kv.shape[1], KEY_GRAD_TILES.KEYS)
    query_blocks = triton.cdiv(queries, KEY_GRAD_TILES.QUERIES)
    chunks = min(query_blocks, max(1, KEY_GRAD_PROGRAMS // (batch * heads)))
    queries_per_program = triton.cdiv(query_blocks, chunks) * KEY_GRAD_TILES.QUERIES
    partial = torch.zeros((chunks, *kv.shape), dtype=torch.float32, device=kv.device)
    tiles = KEY_GRAD_TILES._asdict() | _widths(kv)
    _text_backward_keys[(chunks, heads, batch * blocks)](
        d_out, q, *text, log_sum, delta, partial, queries, *scales, queries_per_program, **tiles
    )
    return d_q, partial.sum(0).to(kv.dtype)


def _widths(kv: Tensor) -> dict[str, Any]:
    _, length, _, heads, dim = kv.shape
    return {"L": length, "H": heads, **tile_widths(dim)}
