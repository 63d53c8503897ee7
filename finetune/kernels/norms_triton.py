"""Gate, residual, layer norm and modulation in one pass each way: the Triton of `norms`.

x, branch [B, T, S, D]; gate, shift, scale [B, T, D], a row a frame; arithmetic is float32 inside.
The backward sums the tables' gradients as it passes: a program walks some rows of one frame, the
next ones on their way while it works, and leaves one partial sum: no tensor of x's size is read
twice.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from finetune.kernels.reference import EPS

NUM_PROGRAMS = 1056  # of a backward: eight for each of an H200's 132 multiprocessors
NUM_WARPS = 2  # few, for a row is short: a sum across more of them waits longer
NUM_STAGES = 3  # rows on their way from memory in a backward


@triton.jit
def _norm_forward(
    x,
    branch,
    gate,
    shift,
    scale,
    added,
    normed,
    S,
    gate_stride,
    shift_stride,
    scale_stride,
    D: tl.constexpr,
    BLOCK: tl.constexpr,
    EPS: tl.constexpr,
    BRANCH: tl.constexpr,
    GATE: tl.constexpr,
    NORM: tl.constexpr,
):
    """One row: x + gate * branch, then its norm, modulated."""
    row = tl.program_id(0).to(tl.int64)
    frame = row // S
    column = tl.arange(0, BLOCK)
    inside = column < D
    value = tl.load(x + row * D + column, mask=inside, other=0).to(tl.float32)
    if BRANCH:
        more = tl.load(branch + row * D + column, mask=inside, other=0).to(tl.float32)
        if GATE:
            opening = tl.load(gate + frame * gate_stride + column, mask=inside, other=0)
            more = more * opening.to(tl.float32)
        rounded = (value + more).to(added.dtype.element_ty)
        tl.store(added + row * D + column, rounded, mask=inside)
        value = rounded.to(tl.float32)
    if NORM:
        centred = tl.where(inside, value - tl.sum(value) / D, 0)
        normal = centred * tl.rsqrt(tl.sum(centred * centred) / D + EPS)
        by = tl.load(scale + frame * scale_stride + column, mask=inside, other=0).to(tl.float32)
        to = tl.load(shift + frame * shift_stride + column, mask=inside, other=0).to(tl.float32)
        out = normal * (1 + by) + to
        tl.store(normed + row * D + column, out.to(normed.dtype.element_ty), mask=inside)


@triton.jit
def _norm_backward(
    d_normed,
    d_added,
    added,
    branch,
    gate,
    scale,
    d_x,
    d_branch,
    partial,
    S,
    gate_stride,
    scale_stride,
    ROWS: tl.constexpr,
    NUM_STAGES: tl.constexpr,
    D: tl.constexpr,
    BLOCK: tl.constexpr,
    EPS: tl.constexpr,
    BRANCH: tl.constexpr,
    GATE: tl.constexpr,
    NORM: tl.constexpr,
):
    """Some rows of one frame: gradients of x and branch, partial sums of the tables'."""
    frame = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    inside = column < D
    if GATE:
        opening = tl.load(gate + frame * gate_stride + column, mask=inside, other=0)
        opening = opening.to(tl.float32)
    if NORM:
        by = tl.load(scale + frame * scale_stride + column, mask=inside, other=0).to(tl.float32) + 1
    of_gate = tl.zeros([BLOCK], tl.float32)
    of_shift = tl.zeros([BLOCK], tl.float32)
    of_scale = tl.zeros([BLOCK], tl.float32)
    for step in tl.range(0, ROWS, num_stages=NUM_STAGES):
        row = tl.program_id(1) * ROWS + step
        at = (frame * S + row) * D + column
        there = inside & (row < S)
        if NORM:
            got = tl.load(d_normed + at, mask=there, other=0).to(tl.float32)
            value = tl.load(added + at, mask=there, other=0).to(tl.float32)
            centred = tl.where(inside, value - tl.sum(value) / D, 0)
            sharpness = tl.rsqrt(tl.sum(centred * centred) / D + EPS)
            normal = centred * sharpness
            of_shift += got
            of_scale += got * normal
            weighted = got * by
            along = tl.sum(weighted * normal) / D
            gradient = sharpness * (weighted - tl.sum(weighted) / D - normal * along)
            if BRANCH:
                gradient += tl.load(d_added + at, mask=there, other=0).to(tl.float32)
            tl.store(d_x + at, gradient.to(d_x.dtype.element_ty), mask=there)
        else:
            gradient = tl.load(d_added + at, mask=there, other=0).to(tl.float32)
        if GATE:
            more = tl.load(branch + at, mask=there, other=0).to(tl.float32)
            of_gate += gradient * more
            passed = gradient * opening
            tl.store(d_branch + at, passed.to(d_branch.dtype.element_ty), mask=there)
    mine = (
        partial + (frame * tl.num_programs(1) + tl.program_id(1)) * (GATE + 2 * NORM) * D + column
    )
    if GATE:
        tl.store(mine, of_gate, mask=inside)
    if NORM:
        tl.store(mine + GATE * D, of_shift, mask=inside)
        tl.store(mine + (GATE + 1) * D, of_scale, mask=inside)


def _flat(table: Tensor) -> Tensor:
    """A table [B, T, D] whose frames are evenly spaced in memory, copied only if they are not."""
    even = table.stride(0) == table.shape[1] * table.stride(1) or table.shape[0] == 1
    return table if even and table.stride(2) == 1 else table.contiguous()


def forward(
    x: Tensor,
    branch: Tensor | None,
    gate: Tensor | None,
    shift: Tensor | None,
    scale: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """The new residual (x's place holder without a branch) and its modulated norm."""
    x = x.contiguous()
    added = x if branch is None else torch.empty_like(x)
    normed = x if shift is None else torch.empty_like(x)
    tables = [x if table is None else _flat(table) for table in (gate, shift, scale)]
    _norm_forward[(x.numel() // x.shape[-1],)](
        x,
        x if branch is None else branch.contiguous(),
        *tables,
        added,
        normed,
        x.shape[2],
        *(table.stride(1) for table in tables),
        D=x.shape[-1],
        BLOCK=triton.next_power_of_2(x.shape[-1]),
        EPS=EPS,
        BRANCH=branch is not None,
        GATE=gate is not None,
        NORM=shift is not None,
        num_warps=NUM_WARPS,
    )
    return added, normed


def backward(
    d_normed: Tensor | None,
    d_added: Tensor | None,
    added: Tensor,
    branch: Tensor | None,
    gate: Tensor | None,
    scale: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, of branch, and of those of (gate, shift, scale) that are there.

    The tables' are stacked in that order, [B, T, 1 to 3, D] float32.
    """
    added = added.contiguous()
    batch, frames, places, width = added.shape
    chunks = min(places, -(-NUM_PROGRAMS // (batch * frames)))
    d_x = torch.empty_like(added) if scale is not None else added
    d_branch = torch.empty_like(added) if gate is not None else added
    tables_asked = (gate is not None) + 2 * (scale is not None)
    partial = added.new_empty((batch, frames, chunks, tables_asked, width), dtype=torch.float32)
    filled = [added if t is None else t.contiguous() for t in (d_normed, d_added)]
    tables = [added if table is None else _flat(table) for table in (gate, scale)]
    _norm_backward[(batch * frames, chunks)](
        *filled,
        added,
        added if branch is None else branch.contiguous(),
        *tables,
        d_x,
        d_branch,
        partial,
        places,
        *(table.stride(1) for table in tables),
        ROWS=-(-places // chunks),
        NUM_STAGES=NUM_STAGES,
        D=width,
        BLOCK=triton.next_power_of_2(width),
        EPS=EPS,
        BRANCH=d_added is not None,
        GATE=gate is not None,
        NORM=scale is not None,
        num_warps=NUM_WARPS,
    )
    return d_x, d_branch, partial.sum(2)
